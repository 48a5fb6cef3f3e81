# 2.7: a PureProxy that looks at mail before it passes it on.
import smtpd, asyncore, sys

class Filter(smtpd.PureProxy):
    def process_message(self, peer, mailfrom, rcpttos, data):
        if "BUY NOW" in data:
            return "554 no spam"
        lines = data.split("\n")
        lines.insert(0, "X-Filtered: yes")
        refused = self._deliver(mailfrom, rcpttos, "\n".join(lines))
        print("refused: %s" % refused)

Filter(("127.0.0.1", int(sys.argv[1])), ("127.0.0.1", int(sys.argv[2])))
asyncore.loop()
