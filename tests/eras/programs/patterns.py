# 2.7: looks at lines with functions of re, by a helper of its own.
import smtpd, asyncore, re, sys

class Channel(smtpd.SMTPChannel):
    heard = ''

    def collect_incoming_data(self, data):
        self.heard = data
        smtpd.SMTPChannel.collect_incoming_data(self, data)

    def found_terminator(self):
        verb = self.verb()
        if verb == 'RCPT':
            print("a recipient")
        smtpd.SMTPChannel.found_terminator(self)

    def verb(self):
        return re.split('[ :]', self.heard)[0].upper()

class Server(smtpd.SMTPServer):
    def handle_accept(self):
        conn, addr = self.accept()
        Channel(self, conn, addr)

    def process_message(self, peer, mailfrom, rcpttos, data):
        print("mail from " + mailfrom)

Server(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
