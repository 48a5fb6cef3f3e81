# 2.7: a longer queue for newcomers; and the server stops after the first message.
import smtpd, asyncore, sys

class OneShot(smtpd.SMTPServer):
    def listen(self, backlog):
        print("listen")
        smtpd.SMTPServer.listen(self, 50)

    def process_message(self, peer, mailfrom, rcpttos, data):
        print("mail from " + mailfrom)
        self.close()

OneShot(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
print("done")
