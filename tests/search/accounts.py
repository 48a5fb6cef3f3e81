"""Whether what a client heard accounts for everything that it sent."""

from __future__ import annotations

import re
from typing import List

_FAREWELL = b"421 Error: local error in processing, closing connection\r\n"

_REPLY_LINE = re.compile(rb"[2-5][0-9]{2}[ -][^\r\n]*\r\n")


class Unaccounted(AssertionError):
    """Something got no reply, or a reply answers nothing."""


def check(sent: bytes, heard: bytes, accepted: int, may_fail: bool = False) -> None:
    """Compare the octets *sent* with those *heard* by the client of a session.

    accepted: the messages that the handler got and took.
    may_fail: whether the server may take leave (421) after any reply.

    Raises Unaccounted.
    """
    replies = _replies(heard)
    if not replies or not replies[0].startswith(b"220 "):
        raise Unaccounted(f"no banner, but {replies[:1]}")
    at = 0
    in_data = False
    taken = 0
    for number, reply in enumerate(replies[1:], 1):
        end = _end(sent, at, in_data)
        if may_fail and reply.endswith(_FAREWELL):
            # A reply of several lines may break off in it.
            if number != len(replies) - 1:
                raise Unaccounted(f"more after the farewell: {replies[number + 1 :]}")
            break
        if end < 0:
            raise Unaccounted(
                f"reply {reply!r} to nothing; left was {sent[at:][:200]!r}"
            )
        if in_data:
            in_data = False
            taken += reply.startswith(b"250")
        elif reply.startswith(b"354"):
            in_data = True
        elif reply.startswith((b"221", b"421")):
            if number != len(replies) - 1:
                raise Unaccounted(f"more after the farewell: {replies[number + 1 :]}")
            break
        at = end
    else:
        if _end(sent, at, in_data) >= 0:
            raise Unaccounted(f"no reply to {sent[at:][:200]!r}, after {replies[-1]!r}")
    if taken != accepted:
        raise Unaccounted(f"{taken} messages acknowledged, {accepted} accepted")


def _end(sent: bytes, at: int, in_data: bool) -> int:
    """Where the command line or the message at *at* ends, -1 if it does not."""
    if in_data and sent.startswith(b".\r\n", at):
        return at + 3
    terminator = b"\r\n.\r\n" if in_data else b"\r\n"
    found = sent.find(terminator, at)
    return -1 if found < 0 else found + len(terminator)


def _replies(heard: bytes) -> List[bytes]:
    """What was heard, cut into replies."""
    replies = []
    reply = b""
    at = 0
    while at < len(heard):
        line = _REPLY_LINE.match(heard, at)
        if line is None:
            raise Unaccounted(f"no reply line: {heard[at:][:200]!r}")
        at = line.end()
        reply += line[0]
        if line[0][3:4] == b" ":
            replies.append(reply)
            reply = b""
    if reply:
        raise Unaccounted(f"a reply without an end: {reply[:200]!r}")
    return replies
