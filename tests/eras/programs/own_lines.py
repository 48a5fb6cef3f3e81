# 2.7: keeps the lines by itself, to write a log of all that is said.
import smtpd, asyncore, sys

class Logged(smtpd.SMTPChannel):
    def __init__(self, server, conn, addr):
        self.__heard = []
        smtpd.SMTPChannel.__init__(self, server, conn, addr)

    def collect_incoming_data(self, data):
        self.__heard.append(data)
        smtpd.SMTPChannel.collect_incoming_data(self, data)

    def found_terminator(self):
        heard = ''.join(self.__heard)
        self.__heard = []
        print("C: " + heard.split('\n')[0].rstrip('\r'))
        smtpd.SMTPChannel.found_terminator(self)

class Server(smtpd.SMTPServer):
    def handle_accept(self):
        conn, addr = self.accept()
        Logged(self, conn, addr)

    def process_message(self, peer, mailfrom, rcpttos, data):
        print("mail from " + mailfrom)

Server(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
