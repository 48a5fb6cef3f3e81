# 3.3: decodes what it collects.
import smtpd, asyncore, sys

class Decoding(smtpd.SMTPChannel):
    def collect_incoming_data(self, data):
        if isinstance(data, bytes):
            data = data.decode("utf-8")
        self.received_lines.append(data)

class Server(smtpd.SMTPServer):
    channel_class = Decoding

    def process_message(self, peer, mailfrom, rcpttos, data):
        print("mail from " + mailfrom)

Server(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
