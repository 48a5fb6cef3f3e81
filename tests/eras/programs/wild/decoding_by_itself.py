# 3.6: decodes what it collects, and reads the lines by their old name.
# prints: EHLO heard
# prints: mail of 4 lines
import asyncore, smtpd, sys

class Channel(smtpd.SMTPChannel):
    def collect_incoming_data(self, data):
        text = None
        for codec in ("utf-8", "latin-1"):
            try:
                text = data.decode(codec)
                break
            except Exception:
                pass
        if text is None:
            text = data.decode("ascii", "replace")
        self.received_lines.append(text)

    def found_terminator(self):
        line = "".join(self._SMTPChannel__line)
        if line[:4].upper() == "EHLO":
            print("EHLO heard")
        self.received_lines = [line.encode("utf-8")]
        super().found_terminator()

class Server(smtpd.SMTPServer):
    channel_class = Channel

    def process_message(self, peer, mailfrom, rcpttos, data, **kwargs):
        print("mail of %d lines" % data.count(b"\n"))

Server(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
