# 2.7: a honeypot, which notes all that is said, with digests of what is sent.
# prints: said 4 commands, 601672c1
import asyncore, hashlib, smtpd, sys

class Pot(smtpd.SMTPChannel):
    def __init__(self, server, sock, addr):
        smtpd.SMTPChannel.__init__(self, server, sock, addr)
        self.said = []

    def collect_incoming_data(self, data):
        smtpd.SMTPChannel.collect_incoming_data(self, data)
        if self._SMTPChannel__state == self.COMMAND:
            self.said.append(data.split(' ')[0].upper())

    def smtp_EHLO(self, arg):
        self.push("250-mail.example.com Hello %s" % arg)
        self.push("250-SIZE 20480000")
        self.push("250 AUTH LOGIN PLAIN")

    def smtp_AUTH(self, arg):
        self.push("235 Authentication succeeded")

    def smtp_VRFY(self, arg):
        self.push("252 maybe")

class Honeypot(smtpd.SMTPServer):
    def handle_accept(self):
        conn, addr = self.accept()
        self.pot = Pot(self, conn, addr)

    def process_message(self, peer, mailfrom, rcpttos, data):
        digest = hashlib.sha1(data).hexdigest()[:8]
        commands = [word for word in self.pot.said if word in ("EHLO", "MAIL", "RCPT")]
        print("said %d commands, %s" % (len(commands), digest))

smtpd.__version__ = "ESMTP Postfix"
Honeypot(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
