"""Message text: dots, line ends, and cuts between segments."""

from __future__ import annotations

import random
from typing import Any

import pytest

from smtpd_compat._text._message import MessageText, decode_or_none, message_text


def fed(pieces: list[bytes]) -> bytes:
    text = MessageText()
    for piece in pieces:
        text.feed(piece)
    return text.finish()


def expected(wire: bytes) -> bytes:
    """Said differently: the lines, without the dot that each may start with."""
    lines = wire.split(b"\r\n")
    return b"\n".join(line[1:] if line.startswith(b".") else line for line in lines)


WIRES = [
    b"",
    b"x",
    b".",
    b"..",
    b"...",
    b".\r\n",
    b"..\r\n..",
    b"\r\n",
    b"\r\n\r\n",
    b"\r\n.\r\n..",
    b"a\r\nb\r\n",
    b"a\nb\rc",
    b"\n.\n",
    b"\r.\r",
    b"\r\r\n.\r\r\n.",
    b"a\r\r\n..b",
    b"a\r\n.\r",
    b"a\r\n.\n.b",
    b"\r",
    b"\n",
    b"\r\r\n",
    b"\r\n\n.",
    b".\r\r\n.",
    b"\xff\r\n.\xff",
    b"\0\r\n.\0",
]


@pytest.mark.parametrize("wire", WIRES)
def test_a_whole_message_loses_its_stuffing_and_its_carriage_returns(
    wire: bytes,
) -> None:
    assert message_text(wire) == expected(wire)


@pytest.mark.parametrize("wire", WIRES)
def test_a_message_cut_anywhere_is_the_message_in_one_piece(wire: bytes) -> None:
    whole = message_text(wire)
    assert fed([wire]) == whole
    assert fed([wire[at : at + 1] for at in range(len(wire))]) == whole
    for first in range(len(wire) + 1):
        for second in range(first, len(wire) + 1):
            pieces = [wire[:first], wire[first:second], wire[second:]]
            assert fed([piece for piece in pieces if piece]) == whole


def test_any_text_cut_anywhere_is_translated_line_by_line() -> None:
    rng = random.Random(5)
    for _ in range(3000):
        parts = rng.choices((b"\r\n", b".", b"\r", b"\n", b"a", b"\xc3"), k=12)
        wire = b"".join(parts)
        cuts = sorted(rng.randrange(len(wire) + 1) for _ in range(3))
        pieces = [
            wire[start:end]
            for start, end in zip([0, *cuts], [*cuts, len(wire)])
            if start < end
        ]
        assert fed(pieces) == message_text(wire) == expected(wire), (wire, pieces)


def test_a_message_that_nobody_fed_is_empty() -> None:
    assert MessageText().finish() == b""


@pytest.mark.parametrize(
    "received, text",
    [
        (b"abc", "abc"),
        ("\xe9".encode(), "\xe9"),
        ("\xe9", "\xe9"),
        (b"", ""),
        (b"\xff", None),
        (b"\xc3", None),
        (b"\xed\xa0\x80", None),
        ("\udcff", None),
        ("\ud800", None),
    ],
)
def test_what_is_not_utf8_is_no_text(received: Any, text: Any) -> None:
    assert decode_or_none(received) == text
