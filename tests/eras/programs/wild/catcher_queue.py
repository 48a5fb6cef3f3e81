# 3.5: a fixture's catcher, which keeps what came in a queue, as text.
# prints: 6 lines from ann@example.com
import asyncore, queue, smtpd, sys

class Catcher(smtpd.SMTPServer):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.messages = queue.Queue()

    def process_message(self, peer, mailfrom, rcpttos, data, **kwargs):
        lines = (data + "\n").split("\n")
        self.messages.put((mailfrom, rcpttos, lines))
        print("%d lines from %s" % (len(lines), mailfrom))

Catcher(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
