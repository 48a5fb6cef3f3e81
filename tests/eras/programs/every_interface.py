# 2.7: the empty host is every interface.
import smtpd, asyncore, sys

class Collector(smtpd.SMTPServer):
    def __init__(self, port):
        smtpd.SMTPServer.__init__(self, ("", port), None)
        print("bound to " + self.socket.getsockname()[0])

    def process_message(self, peer, mailfrom, rcpttos, data):
        print("mail from " + mailfrom)

collector = Collector(int(sys.argv[1]))
asyncore.loop()
