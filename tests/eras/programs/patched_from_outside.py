# 2.7: changes the module's own classes, stream and version.
import smtpd, asyncore, sys

class Log(smtpd.Devnull):
    def write(self, text):
        if text.strip():
            sys.stdout.write("trace " + text.strip().split(" ")[0] + "\n")

def smtp_EHLO(self, arg):
    self.push("250-patched")
    self.push("250 SIZE 1000")

def process_message(self, peer, mailfrom, rcpttos, data):
    print("mail from " + mailfrom)

smtpd.SMTPChannel.smtp_EHLO = smtp_EHLO
smtpd.SMTPServer.process_message = process_message
smtpd.DEBUGSTREAM = Log()
smtpd.__version__ = "Postmaster 1.0"

smtpd.SMTPServer(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
