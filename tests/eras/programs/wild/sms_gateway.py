# 2.7: a gateway for short messages: who may send, what number, how long.
# prints: to bob: greetings|> hello bye
import asyncore, re, smtpd, sys

class Gate(smtpd.SMTPChannel):
    def smtp_MAIL(self, arg):
        if not re.match("(?i)from:\\s*<?.*@example\\.com", arg or ""):
            self.push("553 not allowed")
            return
        smtpd.SMTPChannel.smtp_MAIL(self, arg)

class Gateway(smtpd.SMTPServer):
    def handle_accept(self):
        pair = self.accept()
        if pair is None:
            return
        sock, addr = pair
        Gate(self, sock, addr)

    def process_message(self, peer, mailfrom, rcpttos, data):
        head, body = data.split("\n\n", 1)
        subject = [line[9:] for line in head.splitlines() if line.startswith("Subject: ")]
        text = "%s|%s" % (subject[0], " ".join(body.split("\n")))
        number = rcpttos[0][:rcpttos[0].index("@")]
        print("to %s: %s" % (number, text[:160]))

Gateway(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
