"""For ``-c``: a class of two arguments; its module says ``import smtpd, asyncore``."""

import smtpd, asyncore
import sys


class Printer(smtpd.SMTPServer):
    def __init__(self, localaddr, remoteaddr):
        smtpd.SMTPServer.__init__(self, localaddr, remoteaddr)
        print("one module: %s" % (asyncore is smtpd.asyncore and sys.modules["smtpd_compat"] is smtpd))

    def process_message(self, peer, mailfrom, rcpttos, data):
        lines = data.split("\n")
        print("%s: %s" % (mailfrom, lines[1].partition(": ")[2]))
        smtpd.DEBUGSTREAM.write("Printer heard %d lines\n" % len(lines))
