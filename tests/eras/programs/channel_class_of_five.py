# 3.4: a socket map for each server, served in a thread.
import smtpd, asyncore, sys, threading

class Channel(smtpd.SMTPChannel):
    def __init__(self, server, conn, addr, data_size_limit, map=None):
        super().__init__(server, conn, addr, data_size_limit, map)

class Server(smtpd.SMTPServer):
    channel_class = Channel

    def process_message(self, peer, mailfrom, rcpttos, data):
        print("mail from %s, %d sockets" % (mailfrom, len(sockets)))

sockets = {}
server = Server(("127.0.0.1", int(sys.argv[1])), None, map=sockets)
thread = threading.Thread(target=asyncore.loop, kwargs={"map": sockets, "timeout": 1})
thread.start()
thread.join()
