"""A message on its way up: its envelope, its X-Peer header, its octets on the wire."""

from __future__ import annotations

import re

from .._hosts import peer_host

TYPE_CHECKING = bool()
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, TypeVar

    _Data = TypeVar("_Data", bytes, str)

#: Octets of a message that are prepared at once.
PIECE = 1 << 16

_is_plain_mailbox = re.compile(r"[\w.!#$%&'*+/=?^`{|}~@-]+", re.ASCII).fullmatch

# Outside of quoted strings, nothing that ends the path or begins something else there:
# a comment, a quoted pair, a parameter.
_is_mailbox = re.compile(
    r'(?:[^\x00-\x20\x7f-\x9f<>()"\\]'
    r'|"(?:[^\x00-\x1f\x7f-\x9f"\\]|\\[^\x00-\x1f\x7f-\x9f])*")+'
).fullmatch


def path(mailbox: str) -> bytes | None:
    """*mailbox* between angle brackets; None if a path cannot carry exactly this."""
    if mailbox[:1] == "<" and mailbox[-1:] == ">":
        mailbox = mailbox[1:-1]
    if not _is_plain_mailbox(mailbox) and not _is_mailbox(mailbox):
        return None
    try:
        return b"<%b>" % mailbox.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return None


def octets(data: bytes | str) -> bytes:
    """*data*; text as UTF-8, surrogate escapes as the octets that they stand for.

    :raises UnicodeEncodeError: for surrogates that stand for no octet.
    """
    return data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data


class Message:
    """A message to be delivered.

    :param mailfrom: the reverse-path; ``''`` and ``'<>'`` are the null one.
    :param rcpttos: the recipients, each once.
    :param data: the message, as handlers get it: without the end of its last line.
    :param peer: the client's address, for an X-Peer header; None for no header.
    :param is_complete: *data* has the end of its last line, unless that is missing.
    :param smtputf8: ask for SMTPUTF8 even if no address needs it.
    """

    __slots__ = (
        "_header",
        "data",
        "final_dot",
        "mailfrom",
        "rcpttos",
        "smtputf8",
    )

    def __init__(
        self,
        mailfrom: str,
        rcpttos: list[str],
        data: bytes,
        peer: Any = None,
        is_complete: bool = False,
        smtputf8: bool = False,
    ) -> None:
        self.mailfrom = mailfrom
        self.rcpttos = rcpttos
        self.data = data
        host = peer_host(peer)
        self._header = b"" if host is None else b"X-Peer: %b" % host.encode()
        ends = is_complete and data[-1:] in (b"\r", b"\n")
        #: What follows what `wire` yields.
        self.final_dot = b".\r\n" if ends else b"\r\n.\r\n"
        self.smtputf8 = smtputf8

    def size(self) -> int:
        """Octets on the wire, as SIZE counts them (RFC 1870, 6.1)."""
        size = len(self.data) + self.data.count(b"\n") + len(self.final_dot) - 3
        return size + len(self._header) + 2 if self._header else size

    def wire(self) -> Iterator[bytes]:
        """The message in pieces, as DATA carries it (RFC 5321, 4.5.2).

        Every line ends in CRLF, also where a CR or LF stood alone.
        """
        data = self.data
        header = self._header
        before = b"\n"  # the end of a line, if the piece begins one
        start = 0
        while start < len(data):
            end = start + PIECE
            if data[end - 1 : end + 1] == b"\r\n":
                end += 1
            piece = before + data[start:end]
            start = end
            if b"\r" in piece:
                piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            if header and b"\n\n" in piece:  # before the first empty line
                piece = piece.replace(b"\n\n", b"\n%b\n\n" % header, 1)
                header = b""
            wire = piece.replace(b"\n.", b"\n..").replace(b"\n", b"\r\n")
            yield wire[2:] if before else wire
            before = b"\n" if piece.endswith(b"\n") else b""
        if header:
            yield header + b"\r\n" if before else b"\r\n" + header


def insert_x_peer(data: _Data, peer: Any) -> _Data:
    """Put an X-Peer header with the client's host after the last header of *data*.

    That is before the first empty line; where there is none, on a last line of its
    own.

    :param peer: the client's address, as ``getpeername`` gives it; if it has no host
        (that of a Unix socket has none), *data* is returned as it is.
    """
    host = peer_host(peer)
    if host is None:
        return data
    text: Any = data
    header: Any = f"X-Peer: {host}"
    line_end: Any = "\n"
    if isinstance(data, bytes):
        header, line_end = header.encode(), b"\n"
    at = _first_empty_line(text)
    if at < 0:
        return text + line_end + header  # type: ignore[no-any-return]
    return text[:at] + header + line_end + text[at:]  # type: ignore[no-any-return]


def _first_empty_line(data: bytes | str) -> int:
    """Where it starts; -1 for none.  CR or LF alone ends a line, too: it will upstream.

    Linear, also in large messages full of line ends, and without a regular expression,
    which would keep all threads waiting.
    """
    text: Any = data
    ends: Any = ("\r", "\n") if isinstance(data, str) else (b"\r", b"\n")
    cr, lf = ends
    if not text or text[:1] in ends:
        return 0
    at = len(text)
    for pair in (lf + lf, lf + cr, cr + cr):
        found = text.find(pair, 0, at)
        if found >= 0:
            at = found + 1
    return -1 if at == len(text) and text[-1:] not in ends else at
