# 2.7, already with an eye on Python 3: what goes to a socket is bytes.
import smtpd, asyncore, sys

class Channel(smtpd.SMTPChannel):
    def smtp_HELO(self, arg):
        self.push(b'250 pleased to meet you')

    def smtp_XVERSION(self, arg):
        self.push(b'250-one')
        self.push(b'250 two')

class Server(smtpd.SMTPServer):
    def handle_accept(self):
        conn, addr = self.accept()
        Channel(self, conn, addr)

    def process_message(self, peer, mailfrom, rcpttos, data):
        print("mail from " + mailfrom)

Server(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
