"""Classes for ``-c``; nothing but the server process imports them."""

from __future__ import annotations

import smtpd

SERVERS = "none"


class FromElsewhere(smtpd.SMTPServer):
    """A server of somebody's own, written for the module under its old name."""

    def process_message(self, peer, mailfrom, rcpttos, data, **kwargs):
        print("FromElsewhere tells", len(data), "octets", file=smtpd.DEBUGSTREAM)
        print(f"{mailfrom} -> {rcpttos}: {data!r}")


class TwoArguments(smtpd.SMTPServer):
    """A server from the time when there were two arguments."""

    def __init__(self, localaddr, remoteaddr):
        smtpd.SMTPServer.__init__(self, localaddr, remoteaddr)

    def process_message(self, peer, mailfrom, rcpttos, data):
        print(f"{mailfrom} -> {rcpttos}: {data!r}")


class HasAMistake(smtpd.SMTPServer):
    """A server whose author has to see where it fails."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.limit = int("none")


class HasNoFile(smtpd.SMTPServer):
    """A server whose author has to see which file it misses, and where."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        open("/no/such/file")


class WantsACertificate(smtpd.SMTPServer):
    """A server with an argument of its own, which the command line cannot give."""

    def __init__(self, *args, certfile, **kwargs):
        super().__init__(*args, **kwargs)


def not_a_server(*args, **kwargs):
    """What may be called, and leaves nothing to serve."""
    return "no server"


class CannotClose(smtpd.SMTPServer):
    """A server that fails at its end."""

    def close(self):
        super().close()
        raise RuntimeError("not closed properly")


class NeverCloses(smtpd.SMTPServer):
    """A server that fails at its end, and stays in the socket map."""

    def close(self):
        self.socket.close()
        raise RuntimeError("not closed")


class TellsItsLimits(smtpd.SMTPServer):
    """A server whose class says nothing of limits, but for one."""

    recipient_limit = 7

    def process_message(self, peer, mailfrom, rcpttos, data, **kwargs):
        print(self.idle_timeout, self.connection_limit, self.recipient_limit)
