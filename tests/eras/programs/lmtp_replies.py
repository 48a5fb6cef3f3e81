# 2.7: LMTP, a reply for each recipient, in one string.
import smtpd, asyncore, sys

class Channel(smtpd.SMTPChannel):
    def smtp_LHLO(self, arg):
        self.smtp_HELO(arg)

class LMTPServer(smtpd.SMTPServer):
    def handle_accept(self):
        conn, addr = self.accept()
        Channel(self, conn, addr)

    def process_message(self, peer, mailfrom, rcpttos, data):
        return "\r\n".join("250 kept for " + rcptto for rcptto in rcpttos)

LMTPServer(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
