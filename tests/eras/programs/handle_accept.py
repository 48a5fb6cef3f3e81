# 2.7: accepts by itself, to turn strangers away.
import smtpd, asyncore, sys

class Local(smtpd.SMTPServer):
    def handle_accept(self):
        pair = self.accept()
        if pair is None:
            return
        conn, addr = pair
        print("connect from " + addr[0])
        if not addr[0].startswith("127."):
            conn.close()
            return
        channel = smtpd.SMTPChannel(self, conn, addr)

    def process_message(self, peer, mailfrom, rcpttos, data):
        print("%s: %s" % (peer[0], data.split("\n")[0]))

server = Local(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
