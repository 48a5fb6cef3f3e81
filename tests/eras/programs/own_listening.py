# 2.7: a server that never calls SMTPServer.__init__.
import smtpd, asyncore, socket, sys

class Server(smtpd.SMTPServer):
    def __init__(self, port):
        asyncore.dispatcher.__init__(self)
        self._localaddr = ("127.0.0.1", port)
        self._remoteaddr = None
        self.create_socket(socket.AF_INET, socket.SOCK_STREAM)
        self.set_reuse_addr()
        self.bind(self._localaddr)
        self.listen(5)

    def process_message(self, peer, mailfrom, rcpttos, data):
        print("mail from " + mailfrom)

Server(int(sys.argv[1]))
asyncore.loop()
