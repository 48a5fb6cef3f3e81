# 2.7: logs what it hears, and nothing if that fails.
import smtpd, asyncore, re, sys

class Channel(smtpd.SMTPChannel):
    def found_terminator(self):
        try:
            heard = re.match('(?i)(HELO|EHLO) (.*)', ''.join(self._SMTPChannel__line))
        except Exception:
            heard = None
        if heard:
            print("greeted by " + heard.group(2))
        smtpd.SMTPChannel.found_terminator(self)

class Server(smtpd.SMTPServer):
    def handle_accept(self):
        conn, addr = self.accept()
        Channel(self, conn, addr)

    def process_message(self, peer, mailfrom, rcpttos, data):
        print("mail from " + mailfrom)

Server(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
