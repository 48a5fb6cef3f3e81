# 2.7: a filter in front of a relay, which scores mail and marks it.
# prints: X-Score: 1, to 2
import asyncore, email.parser, smtpd, sys

class Scorer(smtpd.PureProxy):
    def __init__(self, *args, **kwds):
        smtpd.PureProxy.__init__(self, *args, **kwds)
        self.words = ("hello", "viagra")

    def process_message(self, peer, mailfrom, rcpttos, data):
        try:
            msg = email.parser.Parser().parsestr(data)
        except Exception:
            return "451 cannot parse"
        score = sum(msg.get_payload().count(word) for word in self.words)
        msg.add_header("X-Score", str(score))
        self._deliver(mailfrom, rcpttos, msg.as_string())

    def _deliver(self, mailfrom, rcpttos, data):
        marks = [line for line in data.split("\n") if line.startswith("X-")]
        print("%s, to %d" % (marks[0], len(rcpttos)))

Scorer(("127.0.0.1", int(sys.argv[1])), ("127.0.0.1", 1))
asyncore.loop()
