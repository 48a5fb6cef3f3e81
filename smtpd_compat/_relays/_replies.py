"""Replies: read from the next server, and made for the client out of what was read."""

from __future__ import annotations

import re

TYPE_CHECKING = bool()
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from typing import Any

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

#: Octets of the next server's reply that are read.
_REPLY_LIMIT = 1 << 16

#: Characters of text in a line of a reply, which has 512 with code and CRLF
#: (RFC 5321, 4.5.3.1.5).
_LINE_WIDTH = 500

_is_line = re.compile(rb"[2-5][0-9][0-9](?![0-9])").match
_is_one_reply = re.compile(rb"[2-5][0-9][0-9](?![0-9-])[^\n]*\n").fullmatch

_NOT_IN_REPLIES = re.compile(r"[^\t\x20-\x7e]")


class ReplyReader:
    """Reads a server's replies out of octets that arrive in any pieces.

    ``is_broken`` says that nothing more can be read: the server has gone, said what is
    no reply, or talks without end.
    """

    def __init__(self) -> None:
        self.is_broken = False
        self._rest = b""
        #: The lines of a reply that is not complete, and their octets.
        self._lines: list[bytes] = []
        self._size = 0

    def feed(self, octets: bytes) -> list[tuple[int, bytes]]:
        """The code and the text of each reply that *octets* complete.

        None at all say that nothing more will come; a reply of which only the end is
        missing then is one.
        """
        replies: list[tuple[int, bytes]] = []
        if self.is_broken:
            return replies
        if not (self._lines or self._rest) and _is_one_reply(octets):  # as most are
            return [(int(octets[:3]), octets[4:].strip())]
        lines = (self._rest + octets).split(b"\n")
        self._rest = lines.pop()
        is_end = not octets or len(self._rest) > _REPLY_LIMIT
        if is_end and self._rest:
            lines.append(self._rest)
        for line in lines:
            if not _is_line(line):
                self.is_broken = True
                return replies
            self._lines.append(line)
            self._size += len(line)
            self.is_broken = self._size > _REPLY_LIMIT
            if line[3:4] != b"-" or self.is_broken:
                replies.append(self._whole())
                if self.is_broken:
                    return replies
        if is_end and self._lines:
            replies.append(self._whole())
        self.is_broken = is_end
        return replies

    def _whole(self) -> tuple[int, bytes]:
        text = b"\n".join([line[4:].strip() for line in self._lines])
        code = int(self._lines[-1][:3])
        self._lines.clear()
        self._size = 0
        return code, text


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
