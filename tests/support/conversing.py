"""What clients say, and what they hear."""

from __future__ import annotations

from .keeping import Server
from .serving import serving
from .talking import connected

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .talking import Client

OK = b"250 OK\r\n"
BAD = b"500 Error: bad syntax\r\n"
GO_ON = b"354 End data with <CR><LF>.<CR><LF>\r\n"
FAILED = b"451 Error: local error in processing\r\n"
TOO_LONG = b"500 Error: line too long\r\n"
TOO_MUCH = b"552 Error: Too much mail data\r\n"
NEED_MAIL = b"503 Error: need MAIL command\r\n"
NEED_RCPT = b"503 Error: need RCPT command\r\n"
VERIFIED = b"252 Cannot VRFY user, but will accept message and attempt delivery\r\n"

TRANSACTION = (b"MAIL FROM:<a@b>", b"RCPT TO:<c@d>")
MESSAGE = b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nhello\r\n.\r\n"


def converse(*lines: bytes, server: Any = Server, **settings: Any) -> list[bytes]:
    """The replies to *lines*, each with its CRLF added, one after the other."""
    with serving(server, **settings) as running, connected(running) as client:
        replies = [client.say(line) for line in lines]
        assert running.errors == []
    return replies


def start_data(client: Client, helo: bytes = b"HELO x") -> None:
    """Say all that comes before a message."""
    for line, reply in zip((helo, *TRANSACTION, b"DATA"), (b"250", OK, OK, GO_ON)):
        assert client.say(line).startswith(reply)
