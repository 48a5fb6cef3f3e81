# 2.7: a buffer that starts as '' and grows by +=.
import smtpd, asyncore, sys

class Counting(smtpd.SMTPChannel):
    heard = ''

    def collect_incoming_data(self, data):
        self.heard = self.heard + data
        smtpd.SMTPChannel.collect_incoming_data(self, data)

    def found_terminator(self):
        if self.heard.upper() == 'QUIT':
            print("leaving")
        self.heard = ''
        smtpd.SMTPChannel.found_terminator(self)

class Server(smtpd.SMTPServer):
    def handle_accept(self):
        conn, addr = self.accept()
        Counting(self, conn, addr)

    def process_message(self, peer, mailfrom, rcpttos, data):
        print("mail from " + mailfrom)

Server(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
