"""DebuggingServer: prints the mail it gets."""

from __future__ import annotations

import re

import smtpd_compat

from ._hosts import peer_host
from ._server import SMTPServer
from ._tracing import ascii_only, public

TYPE_CHECKING = bool()
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

_HEAD = "---------- MESSAGE FOLLOWS ----------\n"
_FOOT = "------------ END MESSAGE ------------\n"

_builtin_print = print

#: Octets that stand for themselves in a repr.
_PLAIN = bytes(octet for octet in range(32, 127) if octet not in b"'\\") + b"\n"

_EMPTY_LINE: Any = {str: re.compile("\n\n"), bytes: re.compile(b"\n\n")}

#: Octets, or characters, of a message that are looked at together, and a line more:
#: lists of all its lines would take many times its size.
_BLOCK = 1 << 16

#: Characters that are written in one go at the most; only a message that is longer
#: can get mixed up with those of other processes.
_WRITE = 1 << 23


@public
class DebuggingServer(SMTPServer):
    """A server that prints every message on standard output and discards it.

    Arguments are those of `SMTPServer`.  The lines of a message given as ``bytes``
    are printed as the ``repr`` of each, so that a terminal shows what came.  A message
    is written in one piece, and refused with 451 if it cannot be written.
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
        head = _HEAD
        if kwargs.get("mail_options"):
            head += "mail options: {}\n".format(kwargs["mail_options"])
        if kwargs.get("rcpt_options"):
            head += "rcpt options: {}\n\n".format(kwargs["rcpt_options"])
        prints = getattr(self._print_message_content, "__func__", None)
        if prints is _print_message_content:
            _print([head, *_content(peer, data), _FOOT])
        else:  # a subclass's own
            _print([head])
            self._print_message_content(peer, data)
            _print([_FOOT])
        return None

    def _print_message_content(self, peer: Any, data: bytes | str) -> None:
        """Print the lines of *data*, with the client's host after the header."""
        _print(_content(peer, data))


_print_message_content = DebuggingServer._print_message_content


def _content(peer: Any, data: Any) -> Iterator[str]:
    """What is printed of a message, in pieces of whole lines."""
    host = peer_host(peer)
    as_lines: Any = _text_lines
    shown: Any = str
    newline: Any = "\n"
    peer_line = f"X-Peer: {host}\n"
    if not isinstance(data, str):
        as_lines, shown, newline = _byte_lines, _byte_reprs, b"\n"
        peer_line = f"{peer_line[:-1].encode()!r}\n"
    in_header = host is not None
    start = 0
    while start < len(data):
        end = data.find(newline, start + _BLOCK) + 1 or len(data)
        lines = as_lines(data[start:end])
        start = end
        if in_header:
            header = 0
            if not lines.startswith(newline):
                # Found in a third of the time that find takes among many line ends.
                found = _EMPTY_LINE[type(lines)].search(lines)
                header = found.start() + 1 if found else len(lines)
            if header < len(lines):
                in_header = False
                yield (shown(lines[:header]) if header else "") + peer_line
                lines = lines[header:]
        yield shown(lines)


def _text_lines(block: str) -> str:
    """The lines of *block*, each with a line feed at its end."""
    return "\n".join(block.splitlines()) + "\n"


def _byte_lines(block: bytes) -> bytes:
    """The lines of *block*, each with a line feed at its end."""
    if b"\r" in block:
        block = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return block if block.endswith(b"\n") else block + b"\n"


def _byte_reprs(lines: bytes) -> str:
    """The ``repr`` of each of *lines*."""
    if not lines.translate(None, _PLAIN):
        return "b'" + lines[:-1].replace(b"\n", b"'\nb'").decode("ascii") + "'\n"
    if b"'" in lines or b"\\" in lines:
        return "\n".join(map(repr, lines[:-1].split(b"\n"))) + "\n"
    # Then repr escapes nothing but line ends as it does those, and takes no other
    # quotes for one line than for all.
    return repr(lines)[:-3].replace("\\n", "'\nb'") + "'\n"


def _print(pieces: Iterable[str]) -> None:
    """Write *pieces* to standard output together.

    :raises Exception: what the stream raises, if they cannot be written.
    """
    gathered: list[str] = []
    size = 0
    for piece in pieces:
        gathered.append(piece)
        size += len(piece)
        if size > _WRITE:
            _write("".join(gathered))
            gathered = []
            size = 0
    _write("".join(gathered))
    flush = getattr(smtpd_compat.sys.stdout, "flush", None)
    if flush is not None:
        flush()


def _write(text: str) -> None:
    """Write *text*; with escapes in lines for which there are no characters."""
    if print is _builtin_print:
        try:
            print(text, end="")
            return
        except UnicodeEncodeError:
            pass
    # A print of somebody's own gets the lines that it has always got.
    for line in text.split("\n")[:-1]:
        try:
            print(line)
        except UnicodeEncodeError:
            print(ascii_only(line))
