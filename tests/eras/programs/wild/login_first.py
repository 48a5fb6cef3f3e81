# 2.7: takes commands by itself, through a table, with a log of its own.
# prints: EHLO MAIL RCPT RCPT DATA
import asyncore, smtpd, sys

def traced(method):
    def wrapper(self, *args):
        return method(self, *args)
    return wrapper

class Channel(smtpd.SMTPChannel):
    def __init__(self, server, conn, addr):
        smtpd.SMTPChannel.__init__(self, server, conn, addr)
        self.log = []
        server.log = self.log

    @traced
    def found_terminator(self):
        if self._SMTPChannel__state == self.COMMAND:
            line = "".join(self._SMTPChannel__line)
            i = line.find(' ')
            command = (line if i < 0 else line[:i]).upper()
            self.log.append(command)
        smtpd.SMTPChannel.found_terminator(self)

    @traced
    def smtp_EHLO(self, arg):
        self.push("250 hello")

class Server(smtpd.SMTPServer):
    def handle_accept(self):
        conn, addr = self.accept()
        Channel(self, conn, addr)

    def process_message(self, peer, mailfrom, rcpttos, data):
        print(" ".join(self.log))

Server(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
