# 2.7: a channel with a banner of its own.
import smtpd, asyncore, sys

class Channel(smtpd.SMTPChannel):
    def __init__(self, server, conn, addr):
        smtpd.SMTPChannel.__init__(self, server, conn, addr)
        self.commands = 0

    def smtp_NOOP(self, arg):
        self.commands += 1
        self.push("250 that makes %d" % self.commands)

class Server(smtpd.SMTPServer):
    channel_class = Channel

    def handle_accept(self):
        conn, addr = self.accept()
        self.channel_class(self, conn, addr)

    def process_message(self, peer, mailfrom, rcpttos, data):
        print("mail from " + mailfrom)

Server(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
