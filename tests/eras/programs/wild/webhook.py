# 3.5: posts each mail to somewhere else as JSON.
# prints: {"from": "ann@example.com", "raw": "From: ann@"}
import asyncore, json, smtpd, sys

def post(payload):
    print(json.dumps(payload, sort_keys=True))

class Hook(smtpd.SMTPServer):
    def process_message(self, peer, mailfrom, rcpttos, data, **kwargs):
        post({"from": mailfrom, "raw": data[:10]})

Hook(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
