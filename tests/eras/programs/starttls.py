# 3.6: STARTTLS, by wrapping the socket in the middle of the conversation.
import smtpd, asyncore, ssl, sys

class TLSChannel(smtpd.SMTPChannel):
    def smtp_EHLO(self, arg):
        self.seen_greeting = arg
        self.push("250-hello")
        self.push("250 STARTTLS")

    def smtp_STARTTLS(self, arg):
        self.push("220 go ahead")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[2])
        self.socket.setblocking(True)
        self.set_socket(context.wrap_socket(self.socket, server_side=True))
        self.socket.setblocking(False)
        print(self.socket.version()[:3])

    def handle_read(self):
        try:
            smtpd.SMTPChannel.handle_read(self)
        except ssl.SSLWantReadError:
            pass

class Server(smtpd.SMTPServer):
    def handle_accept(self):
        conn, addr = self.accept()
        TLSChannel(self, conn, addr)

    def process_message(self, peer, mailfrom, rcpttos, data, **kwargs):
        print("mail from " + mailfrom)

Server(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
