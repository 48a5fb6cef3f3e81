# 2.7: a mailbox of files for each recipient, for developers.
# prints: kept 53 octets for bob@example.com
# prints: kept 53 octets for eve@example.com
import asyncore, os, shutil, smtpd, sys, tempfile

class Dropbox(smtpd.DebuggingServer):
    def process_message(self, peer, mailfrom, rcpttos, data):
        folder = tempfile.mkdtemp()
        try:
            for rcptto in rcpttos:
                path = os.path.join(folder, rcptto + ".eml")
                mail = open(path, "wb")
                mail.write(data)
                mail.close()
                print("kept %d octets for %s" % (os.path.getsize(path), rcptto))
        finally:
            shutil.rmtree(folder)

Dropbox(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
