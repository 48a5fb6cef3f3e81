# 2.7: a proof of concept whose channel refuses poison, patched into the module.
# prints: ann@example.com -> bob@example.com, eve@example.com
import asyncore, smtpd, sys

class Channel(smtpd.SMTPChannel):
    def smtp_RCPT(self, arg):
        if not self._SMTPChannel__mailfrom:
            self.push('503 Error: need MAIL command')
            return
        address = self._SMTPChannel__getaddr('TO:', arg) if arg else None
        if not address or 'poison' in address:
            self.push('550 Error: not touching that')
            return
        self._SMTPChannel__rcpttos.append(address)
        self.push('250 Ok')

smtpd.SMTPChannel = Channel

class Server(smtpd.SMTPServer):
    def handle_accept(self):
        conn, addr = self.accept()
        smtpd.SMTPChannel(self, conn, addr)

    def process_message(self, peer, mailfrom, rcpttos, data):
        print("%s -> %s" % (mailfrom, smtpd.COMMASPACE.join(sorted(rcpttos))))

Server(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
