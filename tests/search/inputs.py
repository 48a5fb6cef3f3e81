"""What the clients of the search send."""

from __future__ import annotations

import random
from typing import Callable, List, Sequence, Tuple

from tests.differential import generate

#: Pieces that mutations put in: what parsers look for, and what decoders trip over.
_PIECES = (
    *(b"\r", b"\n", b"\r\n", b".", b"\r\n.\r\n", b".\r\n", b"\0", b"\t", b" "),
    *(b"<", b">", b"@", b":", b",", b";", b"(", b")", b"[", b"]", b'"', b"\\", b"="),
    *(b"=?", b"?=", b"?q?", b"=?utf-8?q?=0D=0A?=", b"=?utf-8?b?/w==?=", b"%", b"{}"),
    *(
        b"\xff",
        b"\xc3",
        b"\xa9",
        b"\xc2\xa0",
        b"\xc2\x85",
        b"\xe2\x80\xa8",
        b"\xf0\x9f",
    ),
    *(
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf",
        b"\xc4\xb1",
        b"\xc5\xbf",
        b"\xc2\xb2",
        b"\xcc\x81",
    ),
    *(b"\xf0\x9f\x98\x80", b"\xf4\x8f\xbf\xbf", b"\xf4\x90\x80\x80", b"\xd9\xa0"),
    *(b"SIZE=", b"BODY=", b"SMTPUTF8", b" SIZE=99999999999999999999", b"AUTH PLAIN"),
    *(b"DATA\r\n", b"RSET\r\n", b"QUIT\r\n", b"EHLO x\r\n", b"MAIL FROM:", b"RCPT TO:"),
)

_ALPHABETS = (
    bytes(range(256)),
    b"\r\n.",
    b"\r\n. a",
    b'<>@:,;()[]"\\.= ?ab',
    b"\r\n<>@ MAILFROMRCPTO:",
    b"(" * 8 + b") \\",
    b'"\\ a',
    b"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 \r\n",
)

_OPENINGS = (
    b"",
    b"HELO x\r\n",
    b"EHLO x\r\n",
    b"EHLO x\r\nMAIL FROM:<a@b>\r\n",
    b"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n",
    b"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n",
    b"EHLO x\r\nMAIL FROM:<a@b> SMTPUTF8\r\n",
)

_PREFIXES = (
    b"MAIL FROM:",
    b"MAIL FROM:<",
    b"MAIL FROM:<a@b> ",
    b"MAIL FROM:<a@",
    b"RCPT TO:",
    b"RCPT TO:<",
    b"VRFY ",
    b"EHLO ",
    b"HELP ",
    b"X",
    b"",
)


def segments(rng: random.Random) -> Tuple[bytes, ...]:
    """The segments of one session."""
    make = rng.choices(_KINDS, _WEIGHTS)[0]
    return make(rng)


def _likely(rng: random.Random) -> Tuple[bytes, ...]:
    """A session as the comparison with the original has it."""
    return generate.session(rng).segments


def _mutated(rng: random.Random) -> Tuple[bytes, ...]:
    """One or two such sessions with octets put in, left out, repeated or exchanged."""
    text = bytearray(b"".join(_likely(rng)))
    if rng.random() < 0.2:
        text += b"".join(_likely(rng))
    for _ in range(rng.choice((1, 1, 2, 3, 5, 10, 30))):
        _mutate(rng, text)
    return _cut(rng, bytes(text))


def _mutate(rng: random.Random, text: bytearray) -> None:
    at = rng.randrange(len(text) + 1)
    end = min(len(text), at + rng.choice((1, 1, 1, 2, 3, 8, 40)))
    choice = rng.random()
    if choice < 0.45:
        text[at:at] = rng.choice(_PIECES)
    elif choice < 0.6:
        text[at:end] = rng.choice(_PIECES)
    elif choice < 0.75:
        del text[at:end]
    elif choice < 0.85:
        text[at:at] = text[at:end] * rng.choice((1, 2, 3, 20, 300))
    elif choice < 0.95:
        for place in range(at, end):
            text[place] = rng.randrange(256)
    else:
        to = rng.randrange(len(text) + 1)
        text[to:to] = text[at:end]


def _noise(rng: random.Random) -> Tuple[bytes, ...]:
    """Random octets of one alphabet, in command state or in a message."""
    length = rng.choice((3, 10, 30, 100, 500, 600, 3000))
    text = bytes(rng.choices(rng.choice(_ALPHABETS), k=length))
    return _cut(
        rng, rng.choice(_OPENINGS) + text + rng.choice((b"", b"\r\n", b"\r\n.\r\n"))
    )


def _arguments(rng: random.Random) -> Tuple[bytes, ...]:
    """Commands whose arguments are noise, and nothing but such commands."""
    lines: List[bytes] = [rng.choice(_OPENINGS[:6])]
    for _ in range(rng.choice((1, 3, 10, 30))):
        alphabet = rng.choice(_ALPHABETS[3:])
        length = rng.choice((1, 2, 3, 5, 8, 20, 100, 480, 530))
        noise = bytes(rng.choices(alphabet, k=length))
        lines.append(rng.choice(_PREFIXES) + noise + b"\r\n")
    return _cut(rng, b"".join(lines))


def _long(rng: random.Random) -> Tuple[bytes, ...]:
    """Lines and messages far beyond every limit, some of which never end."""
    piece = rng.choice(_PIECES) + rng.choice((b"", b"x", rng.choice(_PIECES)))
    text = piece * (rng.choice((600, 5_000, 70_000, 200_000)) // len(piece))
    end = rng.choice((b"", b"\r\n", b"\r\n.\r\n", b"\r\n.\r\nNOOP\r\n"))
    opening = rng.choice(_OPENINGS) + rng.choice(_PREFIXES)
    return _cut(rng, opening + text + end)


def _flood(rng: random.Random) -> Tuple[bytes, ...]:
    """Many short commands, pipelined."""
    commands = [rng.choice((b"NOOP", b"RSET", b"HELP", b"", b"VRFY a", b"\xff", b"x"))]
    commands += [generate.command(rng) for _ in range(rng.choice((0, 1, 3)))]
    lines = b"\r\n".join(rng.choices(commands, k=rng.choice((20, 200, 1000))))
    return _cut(rng, rng.choice(_OPENINGS) + lines + b"\r\n")


def _cut(rng: random.Random, text: bytes) -> Tuple[bytes, ...]:
    how = rng.random()
    if how < 0.3 or not text:
        return (text,)
    if how < 0.4 and len(text) < 400:
        return tuple(text[at : at + 1] for at in range(len(text)))
    if how < 0.6:
        return tuple(text.splitlines(keepends=True)[:400])
    places = sorted(
        rng.randrange(len(text) + 1) for _ in range(rng.choice((1, 2, 5, 12)))
    )
    borders = [0, *places, len(text)]
    return tuple(text[start:end] for start, end in zip(borders, borders[1:]))


_KINDS: Sequence[Callable[[random.Random], Tuple[bytes, ...]]] = (
    _likely,
    _mutated,
    _noise,
    _arguments,
    _long,
    _flood,
)
_WEIGHTS = (3.0, 5.0, 2.0, 3.0, 0.25, 0.25)
