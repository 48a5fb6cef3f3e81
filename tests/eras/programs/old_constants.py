# 2.7: the module's constants, by attribute and by name.
import smtpd, asyncore, sys
from smtpd import EMPTYSTRING, NEWLINE, COMMASPACE, SMTPServer

class Server(SMTPServer):
    def process_message(self, peer, mailfrom, rcpttos, data):
        lines = data.split(NEWLINE)
        print(smtpd.EMPTYSTRING.join([lines[0], EMPTYSTRING]) + COMMASPACE + mailfrom)

Server(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
