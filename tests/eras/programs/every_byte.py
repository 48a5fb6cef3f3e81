# 3.4: keeps the message in a file, whatever its encoding.
import smtpd, asyncore, sys, binascii

class Archive(smtpd.SMTPServer):
    def process_message(self, peer, mailfrom, rcpttos, data):
        octets = data.encode("utf-8", "surrogateescape")
        print(binascii.hexlify(octets.split(b"\n")[-1]).decode("ascii"))

Archive(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
