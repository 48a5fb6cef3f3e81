# 2.7: sends what it says without push.
import smtpd, asyncore, sys

class Channel(smtpd.SMTPChannel):
    def smtp_HELO(self, arg):
        self.send("250 pleased to meet %s\r\n" % arg)

    def smtp_NOOP(self, arg):
        self.send("250 nothing done\r\n")

class Server(smtpd.SMTPServer):
    def handle_accept(self):
        conn, addr = self.accept()
        Channel(self, conn, addr)

    def process_message(self, peer, mailfrom, rcpttos, data):
        print("mail from " + mailfrom)

Server(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
