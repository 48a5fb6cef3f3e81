# 2.7: reaches for the channel's private attributes, to read and to write.
import smtpd, asyncore, sys

class Nosy(smtpd.SMTPChannel):
    def smtp_RCPT(self, arg):
        print("state %s" % self._SMTPChannel__state)
        print("sender %s" % self._SMTPChannel__mailfrom)
        print("peer %s" % self._SMTPChannel__peer[0])
        print("conn is mine: %s" % (self._SMTPChannel__conn is self.socket))
        print("addr %s" % self._SMTPChannel__addr[0])
        print("greeted as %s" % self._SMTPChannel__greeting)
        print("server %s" % self._SMTPChannel__server.__class__.__name__)
        print("line %r, data %r" % (self._SMTPChannel__line, self._SMTPChannel__data))
        print("named: %s" % bool(self._SMTPChannel__fqdn))
        self._SMTPChannel__rcpttos.append("postmaster@example.com")
        self._SMTPChannel__mailfrom = "rewritten@example.com"
        self.push("250 Ok")

class Server(smtpd.SMTPServer):
    def handle_accept(self):
        conn, addr = self.accept()
        Nosy(self, conn, addr)

    def process_message(self, peer, mailfrom, rcpttos, data):
        print("%s -> %s" % (mailfrom, rcpttos[0]))

Server(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
