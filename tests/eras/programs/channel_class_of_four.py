# 3.3: the size limit came, and some gave it a name of their own.
import smtpd, asyncore, sys

class Channel(smtpd.SMTPChannel):
    def __init__(self, server, conn, addr, limit):
        super().__init__(server, conn, addr, limit)
        print("limit %d" % limit)

class Server(smtpd.SMTPServer):
    channel_class = Channel

    def process_message(self, peer, mailfrom, rcpttos, data):
        print("mail from " + mailfrom)

Server(("127.0.0.1", int(sys.argv[1])), None, 1000)
asyncore.loop()
