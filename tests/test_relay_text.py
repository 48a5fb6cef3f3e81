"""What a relay does to the text that it passes on."""

from __future__ import annotations

from typing import Any

import pytest

from smtpd_compat._relays._replies import (
    NO_REPLY,
    answer,
    canonical,
    insert_x_peer,
    is_sendable,
)

HOST = ("192.0.2.1", 54321)


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
    sent = canonical(insert_x_peer(data, HOST))
    assert sent == b"A: 1\r\nX-Peer: 192.0.2.1\r\n\r\nbody\r\n\r\nmore"


@pytest.mark.parametrize("peer", ["", b"", None, ()])
def test_a_peer_without_a_host_adds_no_x_peer(peer: Any) -> None:
    assert insert_x_peer("A: 1\n\nbody", peer) == "A: 1\n\nbody"
    assert insert_x_peer(b"A: 1\n\nbody", peer) == b"A: 1\n\nbody"


def test_an_ipv6_peer_is_named_by_its_host() -> None:
    peer = ("fe80::1%lo", 25, 0, 1)
    assert insert_x_peer(b"A: 1\n\n", peer) == b"A: 1\nX-Peer: fe80::1%lo\n\n"


# Line ends


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", b""),
        (b"a\nb\n", b"a\r\nb\r\n"),
        (b"a\r\nb\r\n", b"a\r\nb\r\n"),
        (b"a\rb", b"a\r\nb"),
        (b"a\n\rb", b"a\r\n\r\nb"),
        (b"a\r\r\nb", b"a\r\n\r\nb"),
        (b"a\n.\nb\r.\rc", b"a\r\n.\r\nb\r\n.\r\nc"),
        (b"\xff\x00\n", b"\xff\x00\r\n"),
        ("ü\n", b"\xc3\xbc\r\n"),
        ("\udcff\n", b"\xff\r\n"),
    ],
)
def test_every_line_end_becomes_crlf_and_nothing_else_changes(
    data: bytes | str, expected: bytes
) -> None:
    assert canonical(data) == expected


# Addresses


@pytest.mark.parametrize("address", ["a\rb@c", "a\nDATA@b", "a\x00@b", "a\x7f@b"])
def test_an_address_with_a_control_character_is_not_sendable(address: str) -> None:
    assert not is_sendable(address)


@pytest.mark.parametrize("address", ["a@b", "<>", '"a b"@c', "ü@b", "a@[IPv6:::1]"])
def test_other_addresses_are_sendable(address: str) -> None:
    assert is_sendable(address)


# The reply


def test_nobody_refused_is_250() -> None:
    assert answer(["a@x"], {}) is None
    assert answer(["a@x"], None) is None


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ((550, b"5.1.1 No such user"), "550 5.1.1 No such user"),
        ((450, "Try later"), "450 Try later"),
        ((552, b"first\nsecond\nthird"), "552-first\r\n552-second\r\n552 third"),
        ((599, b""), "599 "),
    ],
)
def test_all_refused_is_the_reply_of_the_next_server(
    reply: tuple[int, bytes | str], expected: str
) -> None:
    assert answer(["a@x"], {"a@x": reply}) == expected
    assert answer(["a@x", "b@x"], {"a@x": reply, "b@x": reply}) == expected


@pytest.mark.parametrize(
    "reply", [NO_REPLY, (250, b"OK"), (354, b"go on"), (700, b""), None, "no", 5, (1,)]
)
def test_what_is_no_refusal_is_451(reply: Any) -> None:
    expected = "451 Error: next server is not available, try again later"
    assert answer(["a@x"], {"a@x": reply}) == expected


def test_421_does_not_close_the_client_s_connection_but_stays_temporary() -> None:
    assert answer(["a@x"], {"a@x": (421, b"closing")}) == "451 closing"


def test_all_refused_for_different_reasons_is_temporary_if_one_of_them_is() -> None:
    refused = {"a@x": (550, b"unknown"), "b@x": (452, b"full"), "c@x": NO_REPLY}
    assert answer(list(refused), refused) == (
        "451-Error: message was not taken for any recipient\r\n"
        "451-<a@x>: 550 unknown\r\n"
        "451-<b@x>: 452 full\r\n"
        "451 <c@x>: 451 Error: next server is not available, try again later"
    )


def test_all_refused_for_different_permanent_reasons_is_permanent() -> None:
    refused = {"a@x": (550, b"unknown"), "b@x": (552, b"full")}
    assert answer(["b@x", "a@x"], refused) == (
        "550-Error: message was not taken for any recipient\r\n"
        "550-<a@x>: 550 unknown\r\n"
        "550 <b@x>: 552 full"
    )


def test_some_refused_is_554_that_names_them_and_says_why() -> None:
    refused = {"b@x": (450, b"busy\nvery busy"), "c@x": (550, "gone")}
    assert answer(["a@x", "b@x", "c@x"], refused) == (
        "554-Error: message was taken, but not for the recipients that follow\r\n"
        "554-<b@x>: 450 busy very busy\r\n"
        "554 <c@x>: 550 gone"
    )


def test_a_recipient_given_twice_counts_once() -> None:
    assert answer(["a@x", "a@x"], {"a@x": (450, b"busy")}) == "450 busy"


def test_all_refused_under_other_names_is_not_some_refused() -> None:
    """An overridden _deliver may have rewritten the recipients."""
    assert answer(["a@x"], {"a@elsewhere": (450, b"busy")}) == "450 busy"


def test_a_reply_is_ascii_in_short_lines_without_control_characters() -> None:
    refused = {
        "ü@x": (550, b"\xff\r\x1b\tno" + b"x" * 1200),
        "b@x\r\nQUIT": (550, "né"),
    }
    reply = answer(["a@x", *refused], refused)
    assert reply is not None
    lines = reply.split("\r\n")
    assert all(line.isascii() and len(line) <= 510 for line in lines)
    assert all(line.replace("\t", "").isprintable() for line in lines)
    assert [line[:4] for line in lines] == ["554-"] * (len(lines) - 1) + ["554 "]
    assert lines[1].startswith(r"554-<\xfc@x>: 550 \xff \x1b nox")
    assert lines[-1] == r"554 <b@x\r\nQUIT>: 550 n\xe9"
    assert "x" * 1200 in "".join(line[4:] for line in lines)
