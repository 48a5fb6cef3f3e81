# 2.7: hands mail to a program that encrypts, by its standard input.
# prints: 53 octets encrypted, of b'From: ann'
from __future__ import unicode_literals
import asyncore, smtpd, subprocess, sys

SHELL = "import sys; d = getattr(sys.stdin, 'buffer', sys.stdin).read(); sys.stdout.write('%d' % len(d))"

def encrypt(data):
    gpg = subprocess.Popen([sys.executable, str("-c"), str(SHELL)],
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    out, err = gpg.communicate(data)
    return int(out)

class Gateway(smtpd.SMTPServer):
    def process_message(self, peer, mailfrom, rcpttos, data):
        size = encrypt(data)
        start = repr(data[:9]).lstrip('b')
        print("%d octets encrypted, of b%s" % (size, start))

Gateway(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
