# 2.7: a dispatcher passes for its socket.
import smtpd, asyncore, sys

class Channel(smtpd.SMTPChannel):
    def smtp_XPEER(self, arg):
        self.push("250 " + self.getpeername()[0])

class Server(smtpd.SMTPServer):
    def handle_accept(self):
        conn, addr = self.accept()
        Channel(self, conn, addr)

    def process_message(self, peer, mailfrom, rcpttos, data):
        print("mail from " + mailfrom)

server = Server(("127.0.0.1", int(sys.argv[1])), None)
print("listening on %s" % server.getsockname()[0])
asyncore.loop()
