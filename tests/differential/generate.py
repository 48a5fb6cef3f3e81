"""Sessions from a seed: polite ones, clumsy ones and hostile ones.

``sessions(seed)`` is endless, and the same for the same seed on every interpreter.
"""

from __future__ import annotations

import random
from typing import TypeVar

from . import channels, handlers, words
from .cut import cut
from .sessions import DEFAULT_LIMIT, IPV4, IPV6, UNIX, Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    _Maker = Callable[[random.Random], bytes]

_T = TypeVar("_T")

_CRLF = b"\r\n"


def sessions(seed: int) -> Iterator[Session]:
    """The sessions of *seed*."""
    rng = random.Random(seed)
    while True:
        yield session(rng)


def session(rng: random.Random) -> Session:
    """One session."""
    enable_SMTPUTF8 = decode_data = False
    mode = rng.random()
    if mode < 0.3:
        enable_SMTPUTF8 = True
    elif mode < 0.6:
        decode_data = True
    limit = _pick(
        rng, (DEFAULT_LIMIT, 6), (None, 1), (0, 1), (rng.choice(words.SMALL_LIMITS), 3)
    )
    writer = _Writer(rng, limit or 0, not decode_data, enable_SMTPUTF8)
    channel = "plain" if rng.random() < 0.6 else rng.choice(channels.CHANNELS)
    writer.foreign = channel in ("commands", "dialogue", "chunks")
    writer.write()
    return Session(
        segments=cut(rng, writer.lines),
        data_size_limit=limit,
        enable_SMTPUTF8=enable_SMTPUTF8,
        decode_data=decode_data,
        handler="none" if rng.random() < 0.5 else rng.choice(handlers.HANDLERS),
        channel=channel,
        traced=rng.random() < 0.25,
        unwritable=rng.random() < 0.05,
        peer=_pick(rng, (IPV4, 6), (IPV6, 1), (UNIX, 3)),
    )


def _pick(rng: random.Random, *weighted: tuple[_T, float]) -> _T:
    things, weights = zip(*weighted)
    chosen: _T = rng.choices(things, weights)[0]
    return chosen


# The plan of a session


class _Writer:
    """Writes the lines of a session, each with its own line end."""

    def __init__(
        self, rng: random.Random, limit: int, takes_body: bool, takes_SMTPUTF8: bool
    ) -> None:
        self.rng = rng
        self.limit = limit
        self.lines: list[bytes] = []
        self.extended = False
        #: Whether to use commands that the channel adds.
        self.foreign = False
        #: Parameters of MAIL that will be taken.
        self.known = [b"SIZE=%d" % max(0, limit - rng.choice((0, 0, 1, 10)))]
        if takes_body:
            self.known += [b"BODY=8BITMIME", b"BODY=7BIT", b"body=8BITMIME"]
        if takes_SMTPUTF8:
            self.known += [b"SMTPUTF8", b"SMTPUTF8"]

    def write(self) -> None:
        """Write it all."""
        rng = self.rng
        # How likely it is that the next line is not the one that polite clients send.
        self.rudeness = rng.choice((0.0, 0.0, 0.02, 0.05, 0.15, 0.4))
        if rng.random() < 0.95:
            self._greeting()
        for _ in range(rng.choice((0, 1, 1, 1, 1, 2, 2, 3))):
            self._transaction()
            if rng.random() < 0.1:
                self._line(b"RSET" if rng.random() < 0.8 else command(rng))
        while rng.random() < self.rudeness:
            self._line(command(rng))
        if rng.random() < 0.4:
            self._line(_verb(rng, b"QUIT") + _pick(rng, (b"", 5), (b" now", 1)))
            while rng.random() < max(self.rudeness, 0.05):
                self._line(command(rng))

    def _interrupt(self) -> None:
        while self.rng.random() < self.rudeness:
            self._line(command(self.rng))

    def _line(self, text: bytes) -> None:
        end = _CRLF
        if self.rng.random() < self.rudeness * 0.1:
            end = self.rng.choice(
                (b"\n", b"\r", b"\r\r\n", b"\n\r\n", b"\r\n\r\n", b"")
            )
        self.lines.append(text + end)

    def _greeting(self) -> None:
        rng = self.rng
        self._interrupt()
        self.extended = rng.random() < 0.75
        verb = _verb(rng, b"EHLO" if self.extended else b"HELO")
        polite = rng.random() >= self.rudeness
        name = b"client.example" if polite else rng.choice((word, address))(rng)
        self._line(verb + b" " + name)

    def _transaction(self) -> None:
        rng = self.rng
        self._interrupt()
        if self.foreign and rng.random() < 0.5:
            self._line(_foreign(rng))
            if rng.random() < 0.7:
                self.lines += [b"dXNlcg==\r\n", b"cGFzcw==\r\n"]
        path = self._path(b"FROM:")
        if rng.random() < 0.05:
            path = b"FROM:<>"
        if rng.random() < self.rudeness:
            path += parameters(rng, 0.8)
        elif rng.random() < 0.01:
            path += b" " + rng.choice(words.NO_SIZES)
        elif self.extended and rng.random() < 0.3:
            path += b" " + b" ".join(self._known_parameters())
        self._line(_verb(rng, b"MAIL") + b" " + path)
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            self._interrupt()
            path = self._path(b"TO:")
            if rng.random() < self.rudeness:
                path += parameters(rng, 0.8)
            self._line(_verb(rng, b"RCPT") + b" " + path)
        self._interrupt()
        self._line(_verb(rng, b"DATA"))
        if rng.random() < 0.95:
            self.lines += body(rng, self.limit, self.rudeness)

    def _known_parameters(self) -> list[bytes]:
        count = min(len(self.known), self.rng.choice((1, 1, 2, 3)))
        return self.rng.sample(self.known, count)

    def _path(self, keyword: bytes) -> bytes:
        """An address with *keyword*: mostly well formed, if not always plain."""
        rng = self.rng
        if rng.random() < self.rudeness:
            return _keyword(rng, keyword) + address(rng)
        choice = rng.random()
        if choice < 0.6:
            return keyword + plain_address(rng)
        if choice < 0.95:
            keyword += rng.choice((b"", b"", b" "))
            return keyword + rng.choice(words.GOOD)
        return keyword + _composed_address(rng)


# Commands


def _verb(rng: random.Random, verb: bytes) -> bytes:
    choice = rng.random()
    if choice < 0.9:
        return verb
    if choice < 0.95:
        return verb.lower()
    return bytes(rng.choice((c, c | 0x20)) for c in verb)


def _keyword(rng: random.Random, keyword: bytes) -> bytes:
    """``FROM:`` or ``TO:``, at times badly spelled."""
    choice = rng.random()
    if choice < 0.85:
        return keyword
    if choice < 0.9:
        return keyword + b" "
    return rng.choice(
        (
            keyword.lower(),
            keyword.title(),
            keyword[:-1] + b" :",
            keyword[:-1],
            keyword[:-1] + b"=",
            b" " + keyword,
            b"\t" + keyword + b"\t",
            keyword + b":",
            keyword[1:],
            b"",
            keyword + b"\xc2\xa0",
            "\u017f".encode() + keyword,
            keyword + keyword,
        )
    )


def command(rng: random.Random) -> bytes:
    """Any command, without its line end."""
    make = rng.choices(*_COMMANDS)[0]
    return make(rng)


def _simple_command(rng: random.Random) -> bytes:
    argument = _pick(rng, (b"", 5), (b" ", 1), (b" " + word(rng), 2))
    return _verb(rng, rng.choice(words.VERBS)) + argument


def _path_command(rng: random.Random) -> bytes:
    verb, keyword = rng.choice(((b"MAIL", b"FROM:"), (b"RCPT", b"TO:")))
    return (
        _verb(rng, verb)
        + b" "
        + _keyword(rng, keyword)
        + address(rng)
        + parameters(rng, 0.6)
    )


def _vrfy(rng: random.Random) -> bytes:
    return b"VRFY " + address(rng) + _pick(rng, (b"", 4), (b" more", 1))


def _help(rng: random.Random) -> bytes:
    topic = rng.choice(words.VERBS + (b"AUTH", b"", b"mail", b"MAIL RCPT", word(rng)))
    return b"HELP " + topic


def _foreign(rng: random.Random) -> bytes:
    """Commands that some kinds of channels add."""
    return rng.choice(
        (
            b"AUTH LOGIN",
            b"AUTH",
            b"STARTTLS",
            b"XDAT",
            b"XDAT 3",
            b"XDAT 20",
            b"XDAT 0",
            b"XDAT SIZE=1 X",
            b"XODD",
        )
    )


def _unknown(rng: random.Random) -> bytes:
    return word(rng) + _pick(rng, (b"", 1), (b" " + word(rng), 1))


def _odd(rng: random.Random) -> bytes:
    return rng.choice(words.ODD)


def _limit(rng: random.Random) -> bytes:
    """A line about as long as lines may be."""
    start = rng.choice(
        (
            b"NOOP ",
            b"NOOP",
            b"HELO ",
            b"EHLO ",
            b"MAIL FROM:<a@b> ",
            b"MAIL FROM:<",
            b"MAIL FROM:<a@b> SIZE=",
            b"RCPT TO:<a@b> ",
            b"RCPT TO:<",
            b"FOO ",
            b"RSET ",
            b"VRFY ",
            b"",
            b"HELP ",
            b"QUIT ",
            b"DATA ",
        )
    )
    length = rng.choice(words.LIMITS) + rng.randint(-3, 3)
    end = b"@b>" if start.endswith(b":<") and rng.random() < 0.8 else b""
    fill = b"1" if start.endswith(b"=") else rng.choice((b"x", b" ", b"x", b"\xc3\xa9"))
    missing = max(0, length - len(start) - len(end))
    return start + (fill * missing)[:missing] + end


_COMMANDS: tuple[Sequence[_Maker], Sequence[float]] = (
    (_simple_command, _path_command, _vrfy, _help, _foreign, _unknown, _odd, _limit),
    (5, 6, 2, 1, 1, 1, 4, 1.5),
)


def word(rng: random.Random) -> bytes:
    """Nonsense."""
    return b"".join(rng.choice(words.PARTS) for _ in range(rng.choice((1, 1, 2, 3, 6))))


# Addresses


def plain_address(rng: random.Random) -> bytes:
    """What nearly all clients send."""
    return b"<%s@%s>" % (rng.choice(words.LOCALS[:4]), rng.choice(words.DOMAINS[:3]))


def address(rng: random.Random) -> bytes:
    """An address in one of the many forms, or something like one."""
    choice = rng.random()
    if choice < 0.15:
        return plain_address(rng)
    if choice < 0.6:
        return _composed_address(rng)
    if choice < 0.85:
        return rng.choice(words.WRITTEN)
    return b"".join(
        rng.choice(words.SPECIALS) for _ in range(rng.choice((1, 2, 2, 3, 4, 6, 9)))
    )


def _composed_address(rng: random.Random) -> bytes:
    parts = [rng.choice(words.LOCALS)]
    if rng.random() < 0.9:
        parts += [b"@", rng.choice(words.DOMAINS)]
    if rng.random() < 0.15:
        parts[:0] = [rng.choice(words.ROUTES)]
    if rng.random() < 0.75:
        parts = [b"<"] + parts + [b">"]
    if rng.random() < 0.15:
        parts.insert(rng.randrange(len(parts) + 1), rng.choice(words.SPACES))
    if rng.random() < 0.1:
        parts.insert(rng.randrange(len(parts) + 1), rng.choice(words.SPECIALS))
    if rng.random() < 0.05:
        parts.insert(0, rng.choice((b"Name ", b'"A Name" ', b"(c) ")))
    return b"".join(parts)


# Parameters


def parameters(rng: random.Random, likely: float) -> bytes:
    """The parameters after an address, with the space before; at times none."""
    if rng.random() >= likely:
        return b""
    chosen = [
        _pick(
            rng,
            (b"SIZE=%d" % rng.choice(words.SIZES), 3),
            (b"BODY=8BITMIME", 3),
            (b"SMTPUTF8", 3),
            (rng.choice(words.PARAMETERS), 4),
        )
        for _ in range(rng.choice((1, 1, 1, 2, 3)))
    ]
    return rng.choice((b" ", b" ", b" ", b"  ", b"\t", b"")) + rng.choice(
        (b" ", b" ", b" ", b"  ", b"\t")
    ).join(chosen)


# Messages


def body(rng: random.Random, limit: int, rudeness: float) -> list[bytes]:
    """The lines of a message, with its end."""
    choice = rng.random()
    if choice < 0.04:
        return []
    lines: list[bytes] = []
    if choice < 0.5:
        lines += [b"Subject: x\r\n", b"From: a@b\r\n", b"\r\n"][: rng.randint(0, 3)]
    for _ in range(rng.choice((0, 1, 1, 2, 3, 5))):
        end = _pick(rng, (_CRLF, 12), (b"\n", 1), (b"\r", 1), (b"\r\r\n", 1))
        lines.append(_body_line(rng) + end)
    if not lines and rng.random() < 0.7:
        lines = [_CRLF]
    if 0 < limit < DEFAULT_LIMIT and rng.random() < 0.6:
        size = sum(map(len, lines))
        missing = limit + rng.randint(-4, 4) - size
        if missing > 0:
            lines.append(rng.choice((b"z", b"\xc3\xa9", b".")) * missing)
            if rng.random() < 0.5:
                lines[-1] = lines[-1][: missing - 2] + _CRLF
            if rng.random() < 0.3:
                lines.append(b"and more" * rng.choice((1, 40)) + _CRLF)
    if rudeness <= 0.05 and rng.random() < 0.005:
        lines.insert(0, (b"long " * 199 + _CRLF) * rng.choice((20, 140)))
    if rng.random() < 0.9 and lines and not lines[-1].endswith(_CRLF):
        lines.append(_CRLF)
    if rng.random() < max(rudeness, 0.03):
        lines.append(rng.choice((b".\n", b"\n.\n", b"\r.\r", b"\r.\r\n", b"")))
        if rng.random() < 0.2:
            return lines
        lines.append(_CRLF)
    lines.append(b".\r\n")
    return lines


def _body_line(rng: random.Random) -> bytes:
    return _pick(rng, (b"some text", 3), (b"", 2), (rng.choice(words.BODY_LINES), 5))
