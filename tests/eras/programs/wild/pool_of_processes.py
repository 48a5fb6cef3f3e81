# 2.7: a process that accepts by itself, on a socket that blocks.
# prints: served ann@example.com
import asyncore, os, smtpd, sys

class Channel(smtpd.SMTPChannel):
    def __init__(self, server, conn, addr, map):
        smtpd.SMTPChannel.__init__(self, server, conn, addr)
        self.del_channel()
        self._map = map
        self.set_socket(conn, map)

class Server(smtpd.SMTPServer):
    def handle_accept(self):
        self.socket.setblocking(1)
        conn, addr = self.accept()
        map = {}
        Channel(self, conn, addr, map)
        while map:
            asyncore.poll(1, map)

    def process_message(self, peer, mailfrom, rcpttos, data):
        print("served " + mailfrom)

Server(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
