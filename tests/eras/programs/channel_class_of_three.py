# 3.1 and 3.2: channel_class, whose channels took three arguments.
import smtpd, asyncore, sys

class Channel(smtpd.SMTPChannel):
    def __init__(self, server, sock, address):
        smtpd.SMTPChannel.__init__(self, server, sock, address)
        print("channel for " + address[0])

class Server(smtpd.SMTPServer):
    channel_class = Channel

    def process_message(self, peer, mailfrom, rcpttos, data):
        print("mail from " + mailfrom)

Server(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
