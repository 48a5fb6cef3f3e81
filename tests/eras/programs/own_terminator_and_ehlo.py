# 2.7: a login before all else, in a found_terminator that calls the commands itself.
import smtpd, asyncore, base64, sys

class SMTPChannel(smtpd.SMTPChannel):
    user = None

    def smtp_EHLO(self, arg):
        self.push('250-%s' % self.__fqdn)
        self.push('250-AUTH PLAIN')
        self.push('250 SIZE')

    def smtp_AUTH(self, arg):
        blob = arg.split(' ')[1]
        self.user = base64.b64decode(blob.encode('ascii')).split(b'\0')[1].decode('ascii')
        self.push('235 welcome')

    def found_terminator(self):
        line = ''.join(self.__line)
        if self.__state != self.COMMAND:
            smtpd.SMTPChannel.found_terminator(self)
            return
        self.__line = []
        words = line.split(' ', 1)
        command = words[0].upper()
        arg = words[1].strip() if len(words) > 1 else None
        if not self.user and command not in ('EHLO', 'AUTH', 'QUIT'):
            self.push('530 log in first')
            return
        method = getattr(self, 'smtp_' + command, None)
        if method is None:
            self.push('502 Error: command "%s" not implemented' % command)
        else:
            method(arg)

class Server(smtpd.SMTPServer):
    def handle_accept(self):
        conn, addr = self.accept()
        self.channel = SMTPChannel(self, conn, addr)

    def process_message(self, peer, mailfrom, rcpttos, data):
        print("%s sends for %s" % (self.channel.user, mailfrom))

Server(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
