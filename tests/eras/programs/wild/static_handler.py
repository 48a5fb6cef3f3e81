# 3.4: a handler that is a static method, and takes what comes.
# prints: 4 arguments, str
import asyncore, smtpd, sys

class Server(smtpd.SMTPServer):
    @staticmethod
    def process_message(*args):
        print("%d arguments, %s" % (len(args), type(args[3]).__name__))

Server(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
