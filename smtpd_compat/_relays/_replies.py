"""Text that a relay passes on: the message on its way up, the reply on its way down."""

from __future__ import annotations

import re

from .._hosts import peer_host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from typing import Any, TypeVar

    _Data = TypeVar("_Data", bytes, str)

    #: Code and text of a server's reply, as smtplib has them.
    Reply = tuple[int, bytes | str]

    #: Recipients that did not get a message, with the reply that said so.
    Refused = dict[str, Reply]

#: Where no reply stands behind a refusal: nobody answered, or nothing that makes sense.
NO_REPLY: Reply = (-1, "ignore")

#: An address that SMTP cannot carry in any form (RFC 5321, 4.1.2).
BAD_ADDRESS: Reply = (553, "Error: address cannot be relayed")

#: A non-ASCII address, for a server without SMTPUTF8 (RFC 6531, 3.2).
NO_SMTPUTF8: Reply = (553, "Error: next server does not offer SMTPUTF8")

_UNAVAILABLE = "Error: next server is not available, try again later"
_SOME_REFUSED = "Error: message was taken, but not for the recipients that follow"
_NONE_TAKEN = "Error: message was not taken for any recipient"

#: Characters of text in a line of a reply, which has 512 with code and CRLF
#: (RFC 5321, 4.5.3.1.5).
_LINE_WIDTH = 500

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NOT_IN_REPLIES = re.compile(r"[^\t\x20-\x7e]")

# A CR or LF that stands alone ends a line too: `canonical` makes it do so upstream.
_BLANK_LINE = r"(?:\A|\r\n|\n|\r(?!\n))(?=[\r\n]|\Z)"
_BLANK_TEXT_LINE = re.compile(_BLANK_LINE)
_BLANK_BYTES_LINE = re.compile(_BLANK_LINE.encode())


# The message


def insert_x_peer(data: bytes | str, peer: Any) -> bytes | str:
    """Put an X-Peer header with the client's host after the last header of *data*.

    That is before the first empty line; where there is none, on a last line of its
    own.

    :param peer: the client's address, as ``getpeername`` gives it; if it has no host
        (that of a Unix socket has none), *data* is returned as it is.
    """
    host = peer_host(peer)
    if host is None:
        return data
    header = f"X-Peer: {host}"
    if isinstance(data, str):
        return _insert(data, header, "\n", _BLANK_TEXT_LINE.search(data))
    return _insert(data, header.encode(), b"\n", _BLANK_BYTES_LINE.search(data))


def _insert(
    data: _Data, header: _Data, line_end: _Data, blank: re.Match[_Data] | None
) -> _Data:
    if blank is None:
        return data + line_end + header
    return data[: blank.end()] + header + line_end + data[blank.end() :]


def canonical(data: bytes | str) -> bytes:
    """*data* with every line end as CRLF (RFC 5321, 2.3.8), bare CRs and LFs too.

    Text is encoded as UTF-8, surrogate escapes as the octets that they stand for.

    :raises UnicodeEncodeError: for surrogates that stand for no octet.
    """
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogateescape")
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return data.replace(b"\n", b"\r\n")


def is_sendable(address: str) -> bool:
    """Whether *address* keeps its meaning, and its command, on one line."""
    return not _CONTROL.search(address)


# The reply


def is_accepting(reply: Reply) -> bool:
    """Whether *reply* is one of success (RFC 5321, 4.2.1)."""
    return 200 <= reply[0] <= 299


def is_temporary(reply: Any) -> bool:
    """Whether the client may try again after *reply*, an entry of a refusal dict."""
    return _code_and_text(reply)[0] < 500


def answer(rcpttos: Collection[str], refused: Mapping[str, Any] | None) -> str | None:
    """The reply that is true for every recipient of a message.

    :param rcpttos: the message's recipients.
    :param refused: those that did not get it, with the code and the text (``bytes`` or
        ``str``) of the next server's reply, as smtplib has them.
    :returns: None, that is ``250 OK``, if nobody was refused.  If all were refused, the
        reply of the next server: a temporary one, so that the client tries again, if
        there is one among them; 451 in place of what was no reply, and of 421, which
        would close the client's connection.  If only some were refused: 554, since
        trying again would send the message twice; its lines name those recipients.
    """
    if not refused:
        return None
    replies = {to: _code_and_text(reply) for to, reply in refused.items()}
    if len(replies) < len(set(rcpttos)):
        return _format(554, _SOME_REFUSED, *_reasons(replies))
    codes = [code for code, _ in replies.values()]
    code = min(codes) if min(codes) < 500 else codes[0]
    distinct = set(replies.values())
    if len(distinct) == 1:
        return _format(code, *distinct.pop()[1].split("\n"))
    return _format(code, _NONE_TAKEN, *_reasons(replies))


def _code_and_text(reply: Any) -> tuple[int, str]:
    """Read a reply that smtplib, or an overridden method, has reported."""
    try:
        code, text = reply
        code = int(code)
    except (TypeError, ValueError):
        code, text = NO_REPLY
    if not 400 <= code <= 599:
        return 451, _UNAVAILABLE
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    return 451 if code == 421 else code, str(text)


def _reasons(replies: Mapping[str, tuple[int, str]]) -> Iterator[str]:
    for recipient, (code, text) in replies.items():
        yield f"<{recipient}>: {code} {' '.join(text.split())}"


def _format(code: int, *texts: str) -> str:
    """A reply of one line or of several (RFC 5321, 4.2.1), in ASCII."""
    lines: list[str] = []
    for text in texts:
        text = _NOT_IN_REPLIES.sub(_escape, text.rstrip())
        lines += _cut(text) or [""]
    head = [f"{code}-{line}" for line in lines[:-1]]
    return "\r\n".join([*head, f"{code} {lines[-1]}"])


def _cut(text: str) -> list[str]:
    return [text[i : i + _LINE_WIDTH] for i in range(0, len(text), _LINE_WIDTH)]


def _escape(match: re.Match[str]) -> str:
    return ascii(match.group())[1:-1]
