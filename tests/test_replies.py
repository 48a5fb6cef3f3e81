"""Replies: read from the next server, and made for the client."""

from __future__ import annotations

from typing import Any

import pytest

from smtpd_compat._relays._replies import (
    BAD_ADDRESS,
    NO_REPLY,
    NO_SMTPUTF8,
    ReplyReader,
    answer,
    is_accepting,
    is_temporary,
)

# Replies that are made


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
        ((400, b"No"), "400 No"),
        ((550, "  indented  "), "550   indented"),
        (BAD_ADDRESS, "553 Error: address cannot be relayed"),
        (NO_SMTPUTF8, "553 Error: next server does not offer SMTPUTF8"),
    ],
)
def test_all_refused_is_the_reply_of_the_next_server(
    reply: tuple[int, bytes | str], expected: str
) -> None:
    assert answer(["a@x"], {"a@x": reply}) == expected
    assert answer(["a@x", "b@x"], {"a@x": reply, "b@x": reply}) == expected


@pytest.mark.parametrize(
    "reply",
    [
        NO_REPLY,
        (250, b"OK"),
        (354, b"go on"),
        (399, b""),
        (600, b""),
        (700, b""),
        None,
        "no",
        5,
        (1,),
    ],
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


def test_nobody_s_reply_is_the_one_that_smtplib_has() -> None:
    """Methods that programs override return it, and get it."""
    assert NO_REPLY == (-1, "ignore")


def test_the_last_temporary_code_counts_as_one() -> None:
    refused = {"a@x": (550, b"unknown"), "b@x": (499, b"later")}
    said = answer(list(refused), refused)
    assert said is not None and said.startswith("499-")


@pytest.mark.parametrize(
    ("code", "expected"), [(199, False), (200, True), (299, True), (300, False)]
)
def test_a_reply_of_success_is_any_2xx(code: int, expected: bool) -> None:
    assert is_accepting((code, b"")) is expected


@pytest.mark.parametrize(("size", "lines"), [(500, 1), (501, 2), (1000, 2), (1001, 3)])
def test_a_reply_s_line_has_room_for_500_characters(size: int, lines: int) -> None:
    said = answer(["a@x"], {"a@x": (550, b"x" * size)})
    assert said is not None
    texts = [line[4:] for line in said.split("\r\n")]
    assert "".join(texts) == "x" * size
    assert [len(text) for text in texts[:-1]] == [500] * (lines - 1)
    assert len(texts) == lines


def test_all_refused_for_different_permanent_reasons_is_permanent() -> None:
    refused = {"a@x": (550, b"unknown"), "b@x": (552, b"full")}
    assert answer(["b@x", "a@x"], refused) == (
        "550-Error: message was not taken for any recipient\r\n"
        "550-<a@x>: 550 unknown\r\n"
        "550 <b@x>: 552 full"
    )


def test_of_different_permanent_reasons_the_first_counts() -> None:
    refused = {"a@x": (550, b"unknown"), "b@x": (500, b"what?")}
    said = answer(list(refused), refused)
    assert said is not None and said.endswith("\r\n550 <b@x>: 500 what?")


@pytest.mark.parametrize(
    ("reply", "expected"),
    [((499, b"later"), True), ((500, b"no"), False), ((421, b""), True), (None, True)],
)
def test_what_is_below_500_may_be_tried_again(reply: Any, expected: bool) -> None:
    assert is_temporary(reply) is expected


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


# Replies that are read


@pytest.mark.parametrize(
    ("said", "replies"),
    [
        (b"250 OK\r\n", [(250, b"OK")]),
        (b"250\r\n354\n", [(250, b""), (354, b"")]),
        (b"250-one\r\n250-\r\n250 three\r\n", [(250, b"one\n\nthree")]),
        (b"250-one\r\n550 two\r\n", [(550, b"one\ntwo")]),
        (b"220 \xff\x00  \r\n", [(220, b"\xff\x00")]),
        (b"250 queued as 250 1\r\n", [(250, b"queued as 250 1")]),
    ],
    ids=repr,
)
def test_replies_are_read_however_they_are_cut(said: bytes, replies: Any) -> None:
    for cut in range(1, len(said)):
        reader = ReplyReader()
        assert reader.feed(said[:cut]) + reader.feed(said[cut:]) == replies
        assert not reader.is_broken
        assert reader.feed(b"") == []


@pytest.mark.parametrize(
    "line", [b"", b"25", b"25x no", b"199 no", b"600 no", b" 250", b"25421 closing"]
)
def test_after_what_is_no_reply_nothing_more_is_read(line: bytes) -> None:
    reader = ReplyReader()
    assert reader.feed(b"250 OK\r\n" + line + b"\r\n250 OK\r\n") == [(250, b"OK")]
    assert reader.is_broken
    assert reader.feed(b"250 OK\r\n") == reader.feed(b"") == []


LIMIT = 1 << 16


@pytest.mark.parametrize("is_second", [False, True])
@pytest.mark.parametrize("is_too_long", [False, True])
@pytest.mark.parametrize("first", [b"", b"250-one\r"], ids=["one line", "two lines"])
def test_a_reply_may_have_65536_octets(
    first: bytes, is_too_long: bool, is_second: bool
) -> None:
    """That is, without line feeds; one that is longer is cut, and the last."""
    reader = ReplyReader()
    if is_second:
        assert reader.feed(b"250-\r\n250 one\r\n") == [(250, b"\none")]
    last = b"250 " + b"x" * (LIMIT + is_too_long - len(first) - 4)
    if first:
        assert reader.feed(first + b"\n") == []
    assert reader.feed(last) == ([(250, last[4:])] if len(last) > LIMIT else [])
    if len(last) <= LIMIT:
        [(code, _)] = reader.feed(b"\n")
        assert code == 250
    assert reader.is_broken is is_too_long


def test_any_number_of_replies_may_be_read() -> None:
    reader = ReplyReader()
    said = b"250-" + b"x" * 1000 + b"\r\n250 OK\r\n"
    for _ in range(2 * LIMIT // len(said)):
        assert len(reader.feed(said)) == 1
    assert not reader.is_broken
