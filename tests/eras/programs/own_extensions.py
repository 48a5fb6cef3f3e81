# 3.3: announces extensions, and notes the greeting, in an EHLO of its own.
import smtpd, asyncore, sys

class Channel(smtpd.SMTPChannel):
    def smtp_EHLO(self, arg):
        if not arg:
            self.push('501 Syntax: EHLO hostname')
            return
        self.seen_greeting = arg
        self.push('250-%s' % self.fqdn)
        self.push('250-SIZE 100000')
        self.push('250 8BITMIME')

class Server(smtpd.SMTPServer):
    channel_class = Channel

    def process_message(self, peer, mailfrom, rcpttos, data, **kwargs):
        print("mail from " + mailfrom)

Server(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
