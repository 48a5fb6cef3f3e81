# 2.7: a relay that adds a disclaimer in _deliver, and hands on.
# prints: relay 'bye' 'sent by example.com'
import asyncore, smtpd, sys

class Disclaimer(smtpd.PureProxy):
    def _deliver(self, mailfrom, rcpttos, data):
        lines = data.split("\n")
        lines.append("sent by example.com")
        print("relay %r %r" % tuple(lines[-2:]))
        return {}

Disclaimer(("127.0.0.1", int(sys.argv[1])), ("127.0.0.1", 1))
asyncore.loop()
