# 2.7: puts a Received header of its own before the message, octet by octet.
# prints: Received: from 127.0.0.1, then From: ann@example.com
import asyncore, smtpd, sys
try:
    from cStringIO import StringIO as Buffer
except ImportError:
    from io import BytesIO as Buffer

class Server(smtpd.SMTPServer):
    def process_message(self, peer, mailfrom, rcpttos, data):
        whole = Buffer()
        whole.write(("Received: from %s\n" % peer[0]).encode("ascii"))
        whole.write(data)
        lines = whole.getvalue().decode("ascii").split("\n")
        print("%s, then %s" % (lines[0], lines[1]))

Server(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
