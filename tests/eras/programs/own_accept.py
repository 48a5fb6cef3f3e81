# 2.7: an accept of its own, which knows that somebody waits.
import smtpd, asyncore, sys

class Watched(smtpd.SMTPServer):
    seen = 0

    def accept(self):
        conn, addr = smtpd.SMTPServer.accept(self)
        self.seen += 1
        print("connection %d from %s" % (self.seen, addr[0]))
        return conn, addr

    def handle_error(self):
        self.close()
        raise

    def process_message(self, peer, mailfrom, rcpttos, data):
        print("mail from " + mailfrom)

Watched(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
