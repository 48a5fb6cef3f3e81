# 3.5: hands all that it gets to a list of hooks, whoever they are.
# prints: archived ann@example.com
# prints: first line From: ann@example.com
import asyncore, smtpd, sys

class Hooked(smtpd.SMTPServer):
    hooks = []

    def process_message(self, *args, **kwargs):
        for hook in self.hooks:
            hook(*args, **kwargs)

def archive(peer, mailfrom, rcpttos, data, **kwargs):
    text = data.split("\n")
    print("archived %s" % mailfrom)
    print("first line %s" % text[0])

Hooked.hooks.append(archive)
Hooked(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
