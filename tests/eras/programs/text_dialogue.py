# 3.3: answers a dialogue of its own, by what a line starts with.
import smtpd, asyncore, re, sys

class Quizzing(smtpd.SMTPChannel):
    def found_terminator(self):
        line = self.received_lines and self.received_lines[0] or ''
        if line.upper().startswith('XSUM '):
            self.received_lines = []
            a, b = re.findall('[0-9]+', line.split(' ', 1)[1])
            self.push('250 %d' % (int(a) + int(b)))
        else:
            smtpd.SMTPChannel.found_terminator(self)

class Server(smtpd.SMTPServer):
    channel_class = Quizzing

    def process_message(self, peer, mailfrom, rcpttos, data):
        print("mail from " + mailfrom)

Server(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
