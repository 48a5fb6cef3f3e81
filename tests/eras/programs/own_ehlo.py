# 2.7: speaks EHLO, which the original did not, to announce AUTH.
import smtpd, asyncore, base64, sys

class AuthChannel(smtpd.SMTPChannel):
    def smtp_EHLO(self, arg):
        self.push('250-hello %s' % arg)
        self.push('250 AUTH PLAIN')

    def smtp_AUTH(self, arg):
        kind, _, blob = arg.partition(' ')
        nobody, user, password = base64.b64decode(blob.encode('ascii')).split(b'\0')
        print("%s logs in" % user.decode('ascii'))
        self.push('235 welcome')

class Server(smtpd.SMTPServer):
    def handle_accept(self):
        conn, addr = self.accept()
        AuthChannel(self, conn, addr)

    def process_message(self, peer, mailfrom, rcpttos, data):
        print("mail from " + mailfrom)

Server(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
