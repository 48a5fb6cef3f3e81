# 3.6 and later: as the reference says.
import smtpd, asyncore, sys

class Channel(smtpd.SMTPChannel):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        print(self.data_size_limit)

    def smtp_EHLO(self, arg):
        super().smtp_EHLO(arg)

    def found_terminator(self):
        line = b"".join(self.received_lines)
        print(line[:4].decode())
        super().found_terminator()

class Server(smtpd.SMTPServer):
    channel_class = Channel

    def process_message(self, peer, mailfrom, rcpttos, data, **kwargs):
        print(type(data).__name__, sorted(kwargs))

Server(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
