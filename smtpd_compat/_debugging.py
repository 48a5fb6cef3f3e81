"""DebuggingServer: prints the mail it gets."""

from __future__ import annotations

from ._hosts import peer_host
from ._server import SMTPServer
from ._tracing import ascii_only, public

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@public
class DebuggingServer(SMTPServer):
    """A server that prints every message on standard output and discards it.

    Arguments are those of `SMTPServer`.  The lines of a message given as ``bytes``
    are printed as the ``repr`` of each, so that a terminal shows what came.
    """

    def process_message(
        self,
        peer: Any,
        mailfrom: str,
        rcpttos: list[str],
        data: Any,
        **kwargs: Any,
    ) -> str | None:
        """Print the message between two rules; the client hears ``250 OK``."""
        _show("---------- MESSAGE FOLLOWS ----------")
        if kwargs:
            if kwargs.get("mail_options"):
                _show("mail options: {}".format(kwargs["mail_options"]))
            if kwargs.get("rcpt_options"):
                _show("rcpt options: {}\n".format(kwargs["rcpt_options"]))
        self._print_message_content(peer, data)
        _show("------------ END MESSAGE ------------")
        return None

    def _print_message_content(self, peer: Any, data: bytes | str) -> None:
        """Print the lines of *data*, with the client's host after the header."""
        host = peer_host(peer)
        in_header = True
        for line in data.splitlines():
            if in_header and not line:
                in_header = False
                if host is not None:
                    x_peer = "X-Peer: " + host
                    _show(x_peer if isinstance(data, str) else repr(x_peer.encode()))
            _show(line if isinstance(line, str) else repr(line))


def _show(line: str) -> None:
    """Print *line*; with escapes where standard output has no such characters."""
    try:
        print(line)
    except UnicodeEncodeError:
        print(ascii_only(line))
