# 2.7: refuses recipients, with the private parser of addresses.
import smtpd, asyncore, sys

class Picky(smtpd.SMTPChannel):
    def smtp_MAIL(self, arg):
        sender = self._SMTPChannel__getaddr('FROM:', arg)
        if not sender:
            self.push('501 Syntax: MAIL FROM:<address>')
            return
        self._SMTPChannel__mailfrom = sender
        self.push('250 Ok')

    def smtp_RCPT(self, arg):
        address = self._SMTPChannel__getaddr('TO:', arg)
        if not address or not address.endswith('@example.com'):
            self.push('550 not here: %s' % address)
            return
        self._SMTPChannel__rcpttos.append(address)
        self.push('250 Ok')

class Server(smtpd.SMTPServer):
    def handle_accept(self):
        conn, addr = self.accept()
        Picky(self, conn, addr)

    def process_message(self, peer, mailfrom, rcpttos, data):
        print("%s -> %s" % (mailfrom, " ".join(rcpttos)))

Server(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
