# 3.4: a server for somebody's tests, in a thread, stopped by closing it.
import asyncore, smtpd, sys, threading

class Fake(smtpd.SMTPServer):
    def __init__(self, port):
        self.inbox = []
        smtpd.SMTPServer.__init__(self, ("127.0.0.1", port), None)
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=asyncore.loop, kwargs={"timeout": 0.1})
        self.thread.start()

    def process_message(self, peer, mailfrom, rcpttos, data):
        self.inbox.append(data)
        if len(self.inbox) == 2:
            self.close()

fake = Fake(int(sys.argv[1]))
fake.thread.join()
print("%d messages, the first %s" % (len(fake.inbox), fake.inbox[0].split("\n")[1]))
