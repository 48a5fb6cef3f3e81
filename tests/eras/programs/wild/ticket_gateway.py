# 3.3: files tickets by mail, and tells the sender the number.
# prints: ticket 1: greetings
import asyncore, email, smtpd, sys

class Tickets(smtpd.SMTPServer):
    def process_message(self, peer, mailfrom, rcpttos, data):
        message = email.message_from_string(data)
        body = message.get_payload()
        if not isinstance(body, str):
            return "554 no attachments"
        print("ticket 1: " + message["Subject"])
        return "250 Ok, ticket 1"

Tickets(("127.0.0.1", int(sys.argv[1])), None, 2000000)
asyncore.loop()
