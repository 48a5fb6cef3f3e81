# 3.4: somebody's own fifth argument, which has a default.
import smtpd, asyncore, sys, base64

class Inbox(smtpd.SMTPServer):
    def process_message(self, peer, mailfrom, rcpttos, data, decode_data=False):
        if decode_data:
            data = base64.b64decode(data).decode("ascii")
        head, body = data.split("\n\n", 1)
        print("%d lines of header, decoded: %s" % (len(head.split("\n")), decode_data))

Inbox(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
