# 3.6: a sinkhole, which says yes to everything and keeps statistics.
# prints: message {'EHLO': 1, 'MAIL': 1, 'RCPT': 2, 'DATA': 1}
import asyncore, collections, smtpd, sys

class Channel(smtpd.SMTPChannel):
    def found_terminator(self):
        if self.smtp_state == self.COMMAND:
            line = self._emptystring.join(self.received_lines)
            self.smtp_server.counts[line[:4].decode().upper()] += 1
        super().found_terminator()

class Sinkhole(smtpd.SMTPServer):
    channel_class = Channel
    counts = collections.Counter()

    def process_message(self, peer, mailfrom, rcpttos, data, **kwargs):
        assert isinstance(data, bytes)
        print("message", {key: self.counts[key] for key in ("EHLO", "MAIL", "RCPT", "DATA")})
        self.counts.clear()
        return "250 2.0.0 Ok: queued as 12345"

Sinkhole(("127.0.0.1", int(sys.argv[1])), None, decode_data=False)
asyncore.loop()
