"""Message text: from what the wire carries to what a handler is given.

On the wire, lines end in CRLF and a line that starts with a dot carries one dot more
(RFC 5321, 4.5.2).  A handler gets lines that end in LF, without the added dots.  CR
and LF that stand alone are left as they are.
"""

from __future__ import annotations

import re
from io import BytesIO, IncrementalNewlineDecoder

TYPE_CHECKING = bool()
if TYPE_CHECKING:
    from typing import Any

_LINE_START = re.compile(rb"\r\n\.?")


def _translate(wire: bytes) -> bytes:
    """Translate *wire*, which starts inside a line and cuts no CRLF or CRLF-dot."""
    if b"." in wire and b"\r\n." in wire:
        if b"\r\r\n." in wire:
            # Two passes would take the CR that is left here for half of a CRLF.
            return _LINE_START.sub(b"\n", wire)
        wire = wire.replace(b"\r\n.", b"\n")
    if b"\r" not in wire:
        return wire
    # Universal newlines are found several times faster than bytes.replace finds CRLF,
    # and are the same thing unless a CR stands alone.
    newlines = IncrementalNewlineDecoder(None, True)
    text = newlines.decode(wire.decode("latin-1"), True)
    seen: Any = newlines.newlines  # None, one kind, or a tuple of kinds
    if seen == "\r" or (isinstance(seen, tuple) and "\r" in seen):
        return wire.replace(b"\r\n", b"\n")
    return text.encode("latin-1")


class MessageText:
    """The text of one message, translated while it arrives.

    `io.BytesIO` gives its buffer away without a copy, so that a message of N octets
    costs little more than N octets.
    """

    def __init__(self) -> None:
        self._text = BytesIO()
        # What precedes the first line is a line end, that of the DATA command.
        self._held = b"\r\n"
        self._at_start = True

    def feed(self, wire: bytes) -> None:
        """Add the next octets of the message, cut anywhere."""
        wire = self._held + wire
        if wire.endswith(b"\r\n"):
            kept = len(wire) - 2
        elif wire.endswith(b"\r"):
            kept = len(wire) - 1
        else:
            kept = len(wire)
        self._held = wire[kept:]
        self._write(_translate(wire[:kept]))

    def finish(self) -> bytes:
        """Return the whole text; nothing can be fed after that."""
        self._write(_translate(self._held))
        return self._text.getvalue()

    def _write(self, text: bytes) -> None:
        if text and self._at_start:
            self._at_start = False
            text = text[1:]
        self._text.write(text)


def message_text(wire: bytes) -> bytes:
    """Translate a whole message."""
    return _translate(wire[1:] if wire.startswith(b".") else wire)


def decode_or_none(received: bytes | str) -> str | None:
    """*received* as text, None if it is not UTF-8 (or stands for what is not)."""
    try:
        if isinstance(received, bytes):
            return received.decode()
        if not received.isascii():
            received.encode()
        return received
    except UnicodeError:
        return None
