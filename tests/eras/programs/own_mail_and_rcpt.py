# 3.3: sets what the channel of its time had, and no options.
import smtpd, asyncore, sys

class Catcher(smtpd.SMTPChannel):
    def smtp_MAIL(self, arg):
        self.mailfrom = arg.partition(":")[2].split()[0].strip("<>")
        self.push("250 Ok")

    def smtp_RCPT(self, arg):
        self.rcpttos.append(arg.partition(":")[2].strip("<>"))
        self.push("250 Ok")

class Server(smtpd.SMTPServer):
    channel_class = Catcher

    def process_message(self, peer, mailfrom, rcpttos, data, **kwargs):
        print("%s -> %s %s" % (mailfrom, rcpttos, sorted(kwargs.items())))

Server(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
