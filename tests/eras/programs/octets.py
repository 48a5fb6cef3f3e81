# 2.7: writes the message to a file as it came, and notes its digest.
import smtpd, asyncore, hashlib, os, sys, tempfile

class Spool(smtpd.SMTPServer):
    def process_message(self, peer, mailfrom, rcpttos, data):
        handle, path = tempfile.mkstemp()
        try:
            os.write(handle, data)
        finally:
            os.close(handle)
            os.remove(path)
        print("%s %s" % (mailfrom, hashlib.md5(data).hexdigest()))

Spool(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
