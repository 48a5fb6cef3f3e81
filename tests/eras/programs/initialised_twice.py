# 2.7: two base classes, and each initialises the channel.
import smtpd, asyncore, sys

class Named(smtpd.SMTPChannel):
    def __init__(self, server, conn, addr):
        smtpd.SMTPChannel.__init__(self, server, conn, addr)

class Counted(Named):
    def __init__(self, server, conn, addr):
        Named.__init__(self, server, conn, addr)
        smtpd.SMTPChannel.__init__(self, server, conn, addr)

class Server(smtpd.SMTPServer):
    def handle_accept(self):
        conn, addr = self.accept()
        Counted(self, conn, addr)

    def process_message(self, peer, mailfrom, rcpttos, data):
        print("mail from " + mailfrom)

Server(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
