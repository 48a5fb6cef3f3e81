# 2.7: a test server whose channel keeps broken pipes to itself, and knows STAT.
# prints: mail 1
import asyncore, smtpd, socket, sys

class Channel(smtpd.SMTPChannel):
    def __init__(self, server, conn, addr):
        smtpd.SMTPChannel.__init__(self, server, conn, addr)
        self._server = server

    def smtp_STAT(self, arg):
        self.push("250 %d" % self._server.count)

    def send(self, data):
        try:
            return smtpd.SMTPChannel.send(self, data)
        except socket.error:
            pass

class Server(smtpd.SMTPServer):
    count = 0

    def handle_accept(self):
        conn, addr = self.accept()
        Channel(self, conn, addr)

    def process_message(self, peer, mailfrom, rcpttos, data):
        self.count += 1
        print("mail %d" % self.count)
        self.count = 0

Server(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
