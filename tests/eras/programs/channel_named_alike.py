# 2.7: a class of the same name, with private names and an __init__ of its own.
import smtpd, asyncore, asynchat, socket, sys

class SMTPChannel(smtpd.SMTPChannel):
    def __init__(self, server, conn, addr):
        asynchat.async_chat.__init__(self, conn)
        self.__rcpttos, self.__mailfrom = [], None
        self.__line, self.__data = [], ''
        self.__greeting = 0
        self.__state = self.COMMAND
        self.__peer, self.__fqdn = conn.getpeername(), "mx.example.com"
        self.__addr, self.__conn, self.__server = addr, conn, server
        self.push('220 %s ready' % self.__fqdn)
        self.set_terminator('\r\n')

    def smtp_RCPT(self, arg):
        address = self.__getaddr('TO:', arg)
        if not address:
            self.push('501 Syntax: RCPT TO: <address>')
            return
        self.__rcpttos.append(address)
        print("%s, %d so far" % (address, len(self.__rcpttos)))
        self.push('250 Ok')

    def smtp_DATA(self, arg):
        self.__state = self.DATA
        self.set_terminator('\r\n.\r\n')
        self.push('354 go ahead')

class Server(smtpd.SMTPServer):
    def handle_accept(self):
        conn, addr = self.accept()
        SMTPChannel(self, conn, addr)

    def process_message(self, peer, mailfrom, rcpttos, data):
        print("%s -> %s" % (mailfrom, rcpttos))

Server(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
