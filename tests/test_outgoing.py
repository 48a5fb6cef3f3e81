"""A message on its way up: its envelope, its X-Peer header, its octets on the wire."""

from __future__ import annotations

import random
from typing import Any

import pytest

from smtpd_compat._relays import _outgoing
from smtpd_compat._relays._outgoing import Message, insert_x_peer, octets, path

HOST = ("192.0.2.1", 54321)


def on_the_wire(data: bytes | str, peer: Any = None) -> bytes:
    """A message as DATA carries it, without the end of its last line."""
    return b"".join(Message("", [], octets(data), peer).wire())


# X-Peer


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("A: 1\nB: 2\n\nbody\n", "A: 1\nB: 2\nX-Peer: 192.0.2.1\n\nbody\n"),
        ("A: 1\n\nbody", "A: 1\nX-Peer: 192.0.2.1\n\nbody"),
        ("A: 1\n\n\none\n\ntwo\n", "A: 1\nX-Peer: 192.0.2.1\n\n\none\n\ntwo\n"),
        ("\nbody\n", "X-Peer: 192.0.2.1\n\nbody\n"),
        ("\n", "X-Peer: 192.0.2.1\n\n"),
        ("", "X-Peer: 192.0.2.1\n"),
        ("A: 1\n", "A: 1\nX-Peer: 192.0.2.1\n"),
        ("A: 1", "A: 1\nX-Peer: 192.0.2.1"),
        ("no header\nat all", "no header\nat all\nX-Peer: 192.0.2.1"),
        ("A: 1\n folded\n\nbody", "A: 1\n folded\nX-Peer: 192.0.2.1\n\nbody"),
        ("A: 1\n \n\nbody", "A: 1\n \nX-Peer: 192.0.2.1\n\nbody"),
        ("A: 1\x0b\x0c\x85\n\nb", "A: 1\x0b\x0c\x85\nX-Peer: 192.0.2.1\n\nb"),
    ],
)
def test_x_peer_goes_where_the_original_puts_it(data: str, expected: str) -> None:
    assert insert_x_peer(data, HOST) == expected
    assert insert_x_peer(data.encode(), HOST) == expected.encode()


@pytest.mark.parametrize(
    "data",
    ["A: 1\r\n\r\nbody\n\nmore", "A: 1\r\rbody\n\nmore", "A: 1\n\rbody\n\nmore"],
)
def test_x_peer_stays_in_what_upstream_takes_for_the_header(data: str) -> None:
    sent = on_the_wire(insert_x_peer(data, HOST))
    assert sent == b"A: 1\r\nX-Peer: 192.0.2.1\r\n\r\nbody\r\n\r\nmore"


@pytest.mark.parametrize("peer", ["", b"", None, ()])
def test_a_peer_without_a_host_adds_no_x_peer(peer: Any) -> None:
    assert insert_x_peer("A: 1\n\nbody", peer) == "A: 1\n\nbody"
    assert insert_x_peer(b"A: 1\n\nbody", peer) == b"A: 1\n\nbody"


def test_an_ipv6_peer_is_named_by_its_host() -> None:
    peer = ("fe80::1%lo", 25, 0, 1)
    assert insert_x_peer(b"A: 1\n\n", peer) == b"A: 1\nX-Peer: fe80::1%lo\n\n"


@pytest.mark.parametrize("peer", [HOST, "", ("fe80::1%lo", 25, 0, 1)])
def test_x_peer_in_a_message_on_its_way_is_that_in_its_data(peer: Any) -> None:
    dice = random.Random(8)
    for _ in range(3000):
        data = bytes(dice.choices(b"a.\r\n", k=dice.randint(0, 9)))
        assert on_the_wire(data, peer) == on_the_wire(insert_x_peer(data, peer))


# The wire


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", b""),
        (b"a\nb", b"a\r\nb"),
        (b"a\nb\n", b"a\r\nb\r\n"),
        (b"a\r\nb\r\n", b"a\r\nb\r\n"),
        (b"a\rb", b"a\r\nb"),
        (b"a\n\rb", b"a\r\n\r\nb"),
        (b"a\r\r\nb", b"a\r\n\r\nb"),
        (b"a\n.\nb\r.\rc", b"a\r\n..\r\nb\r\n..\r\nc"),
        (b".", b".."),
        (b"\xff\x00\n", b"\xff\x00\r\n"),
        ("ü\n", b"\xc3\xbc\r\n"),
        ("\udcff\n", b"\xff\r\n"),
    ],
    ids=repr,
)
def test_every_line_ends_in_crlf_and_dots_are_doubled(
    data: bytes | str, expected: bytes
) -> None:
    assert on_the_wire(data) == expected


def test_the_wire_is_the_same_wherever_its_pieces_are_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dice = random.Random(5)
    for _ in range(5000):
        monkeypatch.setattr(_outgoing, "PIECE", dice.randint(1, 6))
        data = bytes(dice.choices(b"a.\r\n", k=dice.randint(0, 14)))
        peer = dice.choice([None, HOST])
        message = Message("", [], data, peer)
        seen = insert_x_peer(data, peer)
        lines = seen.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        stuffed = [b"." + line if line[:1] == b"." else line for line in lines]
        assert b"".join(message.wire()) == b"\r\n".join(stuffed)


@pytest.mark.parametrize("data", [b"", b"a", b"a\nb\n", b"\n" * 9])
def test_size_counts_every_line_with_its_crlf(data: bytes) -> None:
    for peer in (None, HOST):
        message = Message("", [], data, peer)
        assert message.size() == len(b"".join(message.wire())) + 2


# Addresses


@pytest.mark.parametrize(
    "mailbox",
    [
        "a@b",
        "postmaster",
        "a@[IPv6:::1]",
        "a+b=c/d@x-y.example",
        '"a b"@c',
        '"a>b"@c',
        '"a\\"b"@c',
        '"a..b".c@d',
        "zoë@ü.example",
        "\xa0root@x",
        "=?utf-8?q?root?=@example.org",
        "a,b@c",
        "a@b:25",
    ],
)
def test_a_mailbox_goes_up_octet_for_octet(mailbox: str) -> None:
    assert path(mailbox) == path(f"<{mailbox}>") == f"<{mailbox}>".encode()


@pytest.mark.parametrize(
    "mailbox",
    [
        "",
        "<>",
        "a\rb@c",
        "a\nDATA@b",
        "a\x00@b",
        "a\x7f@b",
        "a\x85@b",
        '"\x9b2J"@b',
        "a b@c",
        "a@b ",
        "a\tb@c",
        "a@b> SIZE=1",
        '"root@bank"> AUTH=<admin',
        "a@b>",
        "<a@b",
        "a<b@c",
        "Ann <a@b>",
        "a(comment)@b",
        "a\\b@c",
        '"a@b',
        '"a\\',
        'a"@b',
        '"a\rb"@c',
        '"a\\\n"@c',
        '"a\tb"@c',
        "\udcff@x",
        '"\ud800"@x',
        "a@b\n",
    ],
    ids=ascii,
)
def test_what_a_path_cannot_carry_is_never_said(mailbox: str) -> None:
    assert path(mailbox) is None


def test_long_addresses_are_judged_without_trying_all_ways_to_read_them() -> None:
    for mailbox in ('"' + "a" * 200_000, "a" * 200_000 + " ", '"' + "\\a" * 100_000):
        assert path(mailbox) is None
