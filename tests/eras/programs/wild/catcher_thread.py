# 2.7: a catcher for a framework's tests, which is its own thread.
# prints: ['bob@example.com', 'eve@example.com'] greetings
import asyncore, email, smtpd, sys, threading

class Catcher(smtpd.SMTPServer, threading.Thread):
    def __init__(self, address):
        threading.Thread.__init__(self)
        smtpd.SMTPServer.__init__(self, address, None)
        self.outbox = []

    def run(self):
        asyncore.loop(timeout=0.1)

    def process_message(self, peer, mailfrom, rcpttos, data):
        mail = email.message_from_string(data)
        self.outbox.append(mail)
        print("%s %s" % (sorted(rcpttos), mail['subject']))

catcher = Catcher(("127.0.0.1", int(sys.argv[1])))
catcher.start()
catcher.join()
