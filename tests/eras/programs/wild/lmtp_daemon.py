# 2.7: LMTP with an LHLO of its own and a reply for each recipient.
# prints: delivered to bob
# prints: delivered to eve
import asyncore, smtpd, socket, sys

class Channel(smtpd.SMTPChannel):
    def __init__(self, server, conn, addr):
        smtpd.SMTPChannel.__init__(self, server, conn, addr)
        self.store = server.store

    def smtp_LHLO(self, arg):
        if not arg:
            self.push("501 Syntax: LHLO hostname")
            return
        self._SMTPChannel__greeting = arg
        self.push("250-%s" % socket.gethostname())
        self.push("250-PIPELINING")
        self.push("250 8BITMIME")

    smtp_EHLO = smtp_LHLO

    def smtp_HELO(self, arg):
        self.push("502 Error: command HELO not implemented")

    def smtp_RCPT(self, arg):
        address = self._SMTPChannel__getaddr("TO:", arg)
        if not address or "@" not in address:
            self.push("550 mailbox unavailable")
            return
        self._SMTPChannel__rcpttos.append(address)
        self.push("250 Ok")

class Daemon(smtpd.SMTPServer):
    store = None

    def handle_accept(self):
        conn, addr = self.accept()
        Channel(self, conn, addr)

    def process_message(self, peer, mailfrom, rcpttos, data):
        for rcptto in rcpttos:
            print("delivered to " + rcptto.split("@")[0])
        return "250 Ok"

Daemon(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
