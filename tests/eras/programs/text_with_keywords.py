# 3.5: takes keywords, as the reference asks, and text, the default of its time.
import smtpd, asyncore, email, sys

class Server(smtpd.SMTPServer):
    def process_message(self, peer, mailfrom, rcpttos, data, **kwargs):
        message = email.message_from_string(data)
        print("%s: %s" % (mailfrom, message["Subject"]))

Server(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
