"""The conversation: replies, the state between them, limits, failures."""

from __future__ import annotations

import errno
import io
import socket
import tracemalloc
from typing import Any
from unittest import mock

import pytest

import smtpd_compat
from smtpd_compat import asyncore
from tests.support.keeping import Channel, KeepsLog, Server
from tests.support.serving import serving
from tests.support.talking import Client, connected, on_stage

BANNER = b"220 mx.test Python SMTP proxy version 0.3\r\n"
OK = b"250 OK\r\n"
BAD = b"500 Error: bad syntax\r\n"
GO_ON = b"354 End data with <CR><LF>.<CR><LF>\r\n"
FAILED = b"451 Error: local error in processing\r\n"
TOO_LONG = b"500 Error: line too long\r\n"
TOO_MUCH = b"552 Error: Too much mail data\r\n"
NESTED = b"503 Error: nested MAIL command\r\n"
NEED_HELO = b"503 Error: send HELO first\r\n"
NEED_MAIL = b"503 Error: need MAIL command\r\n"
NEED_RCPT = b"503 Error: need RCPT command\r\n"
DUPLICATE = b"503 Duplicate HELO/EHLO\r\n"
VERIFIED = b"252 Cannot VRFY user, but will accept message and attempt delivery\r\n"
HELP = b"Supported commands: EHLO HELO MAIL RCPT DATA RSET NOOP QUIT VRFY\r\n"
SYNTAX = {
    b"EHLO": b"501 Syntax: EHLO hostname\r\n",
    b"HELO": b"501 Syntax: HELO hostname\r\n",
    b"MAIL": b"501 Syntax: MAIL FROM: <address>\r\n",
    b"RCPT": b"501 Syntax: RCPT TO: <address>\r\n",
    b"DATA": b"501 Syntax: DATA\r\n",
    b"RSET": b"501 Syntax: RSET\r\n",
    b"NOOP": b"501 Syntax: NOOP\r\n",
    b"QUIT": b"501 Syntax: QUIT\r\n",
    b"VRFY": b"501 Syntax: VRFY <address>\r\n",
}
WITH_PARAMETERS = {
    verb: SYNTAX[verb][:-2] + b" [SP <mail-parameters>]\r\n"
    for verb in (b"MAIL", b"RCPT")
}

TRANSACTION = (b"MAIL FROM:<a@b>", b"RCPT TO:<c@d>")
MESSAGE = b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nhello\r\n.\r\n"


@pytest.fixture(autouse=True)
def host_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtpd_compat.socket, "getfqdn", lambda name="": "mx.test")


def converse(*lines: bytes, server: Any = Server, **settings: Any) -> list[bytes]:
    """The replies to *lines*, each with its CRLF added, one after the other."""
    with serving(server, **settings) as running, connected(running) as client:
        replies = [client.say(line) for line in lines]
        assert running.errors == []
    return replies


def start_data(client: Client, helo: bytes = b"HELO x") -> None:
    for line, reply in zip((helo, *TRANSACTION, b"DATA"), (b"250", OK, OK, GO_ON)):
        assert client.say(line).startswith(reply)


# Replies


def test_the_banner_names_the_host_and_the_version() -> None:
    with serving(Server) as server, Client((server.socket.getsockname())) as client:
        assert client.reply() == BANNER


def test_the_banner_shows_an_assigned_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtpd_compat, "__version__", "Mine 1")
    with serving(Server) as server, Client((server.socket.getsockname())) as client:
        assert client.reply() == b"220 mx.test Mine 1\r\n"


@pytest.mark.parametrize(
    "line, reply",
    [
        (b"HELO", SYNTAX[b"HELO"]),
        (b"HELO ", SYNTAX[b"HELO"]),
        (b"HELO x", b"250 mx.test\r\n"),
        (b"EHLO", SYNTAX[b"EHLO"]),
        (
            b"ehlo x",
            b"250-mx.test\r\n250-SIZE 33554432\r\n250-8BITMIME\r\n250 HELP\r\n",
        ),
        (b"NOOP", OK),
        (b"NOOP x", SYNTAX[b"NOOP"]),
        (b"RSET", OK),
        (b"RSET x", SYNTAX[b"RSET"]),
        (b"HELP", b"250 " + HELP),
        (b"HELP me", b"501 " + HELP),
        (b"VRFY", SYNTAX[b"VRFY"]),
        (b"VRFY a@b", VERIFIED),
        (b"VRFY <a@b> x", VERIFIED),
        (b"EXPN", b"502 EXPN not implemented\r\n"),
        (b"EXPN list", b"502 EXPN not implemented\r\n"),
        (b"MAIL FROM:<a@b>", NEED_HELO),
        (b"RCPT TO:<a@b>", NEED_HELO),
        (b"DATA", NEED_HELO),
        (b"FOO", b'500 Error: command "FOO" not recognized\r\n'),
        (b"foo bar", b'500 Error: command "FOO" not recognized\r\n'),
        (b" NOOP", b'500 Error: command "" not recognized\r\n'),
        (b"NOOP\tx", b'500 Error: command "NOOP\tX" not recognized\r\n'),
        (b"", BAD),
        (b"QUIT", b"221 Bye\r\n"),
        (b"QUIT now", b"221 Bye\r\n"),
    ],
)
def test_each_command_gets_its_reply_before_the_greeting(
    line: bytes, reply: bytes
) -> None:
    assert converse(line) == [reply]


@pytest.mark.parametrize("verb", sorted(SYNTAX))
def test_help_tells_the_syntax_of_a_command(verb: bytes) -> None:
    assert converse(b"HELP " + verb.lower()) == [b"250" + SYNTAX[verb][3:]]


@pytest.mark.parametrize("verb", [b"MAIL", b"RCPT"])
def test_help_mentions_parameters_after_ehlo(verb: bytes) -> None:
    replies = converse(b"EHLO x", b"HELP " + verb)
    assert replies[1] == b"250" + WITH_PARAMETERS[verb][3:]


@pytest.mark.parametrize(
    "line, reply",
    [
        (b"HELO y", DUPLICATE),
        (b"EHLO y", DUPLICATE),
        (b"MAIL", SYNTAX[b"MAIL"]),
        (b"MAIL FROM:", SYNTAX[b"MAIL"]),
        (b"MAIL TO:<a@b>", SYNTAX[b"MAIL"]),
        (b"MAIL FROM:<a@b>", OK),
        (b"mail from:a@b", OK),
        (b"MAIL FROM:<>", OK),
        (b"MAIL FROM: <a@b>", OK),
        (b"MAIL FROM:<a@b> SIZE=1", SYNTAX[b"MAIL"]),
        (b"RCPT TO:<a@b>", NEED_MAIL),
        (b"DATA", NEED_RCPT),
        (b"DATA x", NEED_RCPT),
    ],
)
def test_each_command_gets_its_reply_after_helo(line: bytes, reply: bytes) -> None:
    assert converse(b"HELO x", line)[1] == reply


@pytest.mark.parametrize(
    "line, reply",
    [
        (b"MAIL", WITH_PARAMETERS[b"MAIL"]),
        (b"MAIL FROM:<a@b> SIZE=33554432", OK),
        (
            b"MAIL FROM:<a@b> SIZE=33554433",
            b"552 Error: message size exceeds fixed maximum message size\r\n",
        ),
        (b"MAIL FROM:<a@b> SIZE=x", WITH_PARAMETERS[b"MAIL"]),
        (b"MAIL FROM:<a@b> SIZE=-1", WITH_PARAMETERS[b"MAIL"]),
        (b"MAIL FROM:<a@b> BODY=8BITMIME", OK),
        (b"MAIL FROM:<a@b> body=7bit size=3", OK),
        (
            b"MAIL FROM:<a@b> BODY=BINARYMIME",
            b"501 Error: BODY can only be one of 7BIT, 8BITMIME\r\n",
        ),
        (
            b"MAIL FROM:<a@b> FOO=BAR",
            b"555 MAIL FROM parameters not recognized or not implemented\r\n",
        ),
        (
            b"MAIL FROM:<a@b> SMTPUTF8",
            b"555 MAIL FROM parameters not recognized or not implemented\r\n",
        ),
        (b"MAIL FROM:<a@b> =", WITH_PARAMETERS[b"MAIL"]),
        (b"MAIL FROM:<a@b> FOO=", WITH_PARAMETERS[b"MAIL"]),
    ],
)
def test_mail_takes_the_parameters_that_ehlo_offered(line: bytes, reply: bytes) -> None:
    assert converse(b"EHLO x", line)[1] == reply


@pytest.mark.parametrize(
    "line, reply",
    [
        (b"MAIL FROM:<e@f>", NESTED),
        (b"RCPT", WITH_PARAMETERS[b"RCPT"]),
        (b"RCPT FROM:<a@b>", WITH_PARAMETERS[b"RCPT"]),
        (b"RCPT TO:<a@b>", OK),
        (
            b"RCPT TO:<a@b> FOO",
            b"555 RCPT TO parameters not recognized or not implemented\r\n",
        ),
        (b"DATA x", NEED_RCPT),
    ],
)
def test_each_command_gets_its_reply_in_a_transaction(
    line: bytes, reply: bytes
) -> None:
    assert converse(b"EHLO x", b"MAIL FROM:<a@b>", line)[2] == reply


def test_data_takes_no_argument() -> None:
    replies = converse(b"HELO x", *TRANSACTION, b"DATA now", b"DATA")
    assert replies[-2:] == [SYNTAX[b"DATA"], GO_ON]


@pytest.mark.parametrize(
    "settings, offered",
    [
        ({"data_size_limit": 0}, [b"8BITMIME"]),
        ({"data_size_limit": None}, [b"8BITMIME"]),
        ({"data_size_limit": 7}, [b"SIZE 7", b"8BITMIME"]),
        ({"decode_data": True}, [b"SIZE 33554432"]),
        ({"enable_SMTPUTF8": True}, [b"SIZE 33554432", b"8BITMIME", b"SMTPUTF8"]),
        ({"decode_data": True, "data_size_limit": 0}, []),
    ],
)
def test_ehlo_offers_what_the_server_was_given(
    settings: dict[str, Any], offered: list[bytes]
) -> None:
    (reply,) = converse(b"EHLO x", **settings)
    assert [line[4:] for line in reply.splitlines()] == [b"mx.test", *offered, b"HELP"]


def test_a_message_arrives_as_it_was_sent() -> None:
    with serving(Server) as server, connected(server) as client:
        start_data(client, b"EHLO x")
        client.send(b"Subject: x\r\n\r\n..dot\r\n.\xff\r\nbare\nlf\rcr\r\n.\r\n")
        assert client.reply() == OK
    (message,) = server.messages
    assert message.data == b"Subject: x\n\n.dot\n\xff\nbare\nlf\rcr"
    assert (message.mailfrom, message.rcpttos) == ("a@b", ["c@d"])
    assert message.options == {"mail_options": [], "rcpt_options": []}


def test_with_decode_data_a_message_is_text_and_comes_without_options() -> None:
    with serving(Server, decode_data=True) as server, connected(server) as client:
        start_data(client)
        assert client.say("h\xe9\r\n.".encode()) == OK
    (message,) = server.messages
    assert (message.data, message.options) == ("h\xe9", {})


def test_smtputf8_takes_addresses_and_sends_replies_in_utf8() -> None:
    with serving(Server, enable_SMTPUTF8=True) as server, connected(server) as client:
        for line in (
            b"EHLO x",
            "MAIL FROM:<\xfc@b> SMTPUTF8 BODY=8BITMIME".encode(),
            "RCPT TO:<\xdf@d>".encode(),
        ):
            assert client.say(line).startswith(b"250")
        assert client.say("VRFY @\xfc".encode()) == (
            "502 Could not VRFY @\xfc\r\n".encode()
        )
        assert client.say(b"DATA") == GO_ON
        assert client.say(b"\r\n.") == OK
        assert client.say("VRFY @\xfc".encode()).isascii()
    (message,) = server.messages
    assert (message.mailfrom, message.rcpttos) == ("\xfc@b", ["\xdf@d"])
    assert message.options["mail_options"] == ["SMTPUTF8", "BODY=8BITMIME"]


@pytest.mark.parametrize(
    "answer, reply",
    [
        ("", OK),
        (None, OK),
        ("0", b"0\r\n"),
        ("550 no", b"550 no\r\n"),
        ("250 one\r\n250 two", b"250 one\r\n250 two\r\n"),
    ],
)
def test_a_handlers_text_is_the_reply_untouched(answer: Any, reply: bytes) -> None:
    class Answers(Server):
        answers = iter([answer])

    with serving(Answers) as server, connected(server) as client:
        start_data(client)
        client.send(b"x\r\n.\r\nQUIT\r\n")
        assert client.rest() == reply + b"221 Bye\r\n"


# What stays as it was, odd as it is


@pytest.mark.parametrize(
    "line, taken",
    [
        (b"RCPT TO:nodomain", "nodomain"),
        (b'RCPT TO:<"a"@h>', "a@h"),
        (b"RCPT TO:<@r,@s:a@b>", "a@b"),
        (b"RCPT TO:<>", "<>"),
        ("RCPT TO:<\xfc@b>".encode(), "\xfc@b"),
    ],
)
def test_odd_recipients_are_taken_as_the_original_takes_them(
    line: bytes, taken: str
) -> None:
    with serving(Server) as server, connected(server) as client:
        client.say(b"HELO x")
        for command in (b"MAIL FROM:<>", line, b"DATA"):
            assert client.say(command)[:1] in b"23"
        assert client.say(b"x\r\n.") == OK
    (message,) = server.messages
    assert (message.mailfrom, message.rcpttos) == ("<>", [taken])


def test_of_several_sizes_the_last_counts() -> None:
    replies = converse(b"EHLO x", b"MAIL FROM:<a@b> SIZE=99999999 SIZE=1")
    assert replies[1] == OK


def test_letters_that_upper_case_to_ascii_make_a_verb() -> None:
    assert converse("qu\u0131t".encode()) == [b"221 Bye\r\n"]


def test_a_second_greeting_is_refused_after_rset_too() -> None:
    assert converse(b"HELO x", b"RSET", b"HELO x")[1:] == [OK, DUPLICATE]


def test_received_data_survives_the_transaction_and_not_rset() -> None:
    with on_stage(Server) as stage, stage.connect() as client:
        client.send(b"HELO x\r\n" + MESSAGE)
        for _ in range(5):
            stage.hear(client)
        (channel,) = stage.channels
        assert channel.received_data == b"hello"
        stage.say(client, b"RSET")
        assert not channel.received_data


# What the original dies on (known-failures.md), each with its reply

ODD_ADDRESSES = (
    *(b"<[", b"<]", b":", b">", b"(", b"a@b@", b"a@<", b"<@a:>", b"<@>", b"@"),
    *(b"<", b"a@", b"<@a:", b'"'),
    *(b"r@[", b"<a@[", b"<a@[b", b"a@[1.2.3.4"),
)


@pytest.mark.parametrize("address", ODD_ADDRESSES)
@pytest.mark.parametrize("helo", [b"HELO", b"EHLO"])
def test_an_address_that_is_none_gets_the_commands_own_syntax_reply(
    address: bytes, helo: bytes
) -> None:
    replies = converse(
        helo + b" x",
        b"MAIL FROM:" + address,
        b"MAIL FROM:<a@b>",
        b"RCPT TO:" + address,
        b"VRFY " + address,
        b"NOOP",
    )
    syntax = SYNTAX if helo == b"HELO" else WITH_PARAMETERS
    assert replies[1:] == [
        syntax[b"MAIL"],
        OK,
        syntax[b"RCPT"],
        b"502 Could not VRFY " + address + b"\r\n",
        OK,
    ]


@pytest.mark.parametrize(
    "size", [b"SIZE", b"size", "SIZE=\xb2".encode(), "SIZE=1\xb2".encode()]
)
def test_size_without_a_number_is_a_syntax_error(size: bytes) -> None:
    replies = converse(b"EHLO x", b"MAIL FROM:<> " + size, b"MAIL FROM:<>")
    assert replies[1:] == [WITH_PARAMETERS[b"MAIL"], OK]


@pytest.mark.parametrize(
    "line", [b"\xff", b"NOOP \xff", b"MAIL FROM:<\xe9@b>", b"\xc3"]
)
@pytest.mark.parametrize("settings", [{}, {"decode_data": True}])
def test_a_command_line_that_is_not_utf8_is_bad_syntax(
    line: bytes, settings: dict[str, Any]
) -> None:
    assert converse(line, b"NOOP", **settings) == [BAD, OK]


def test_a_reply_with_characters_beyond_ascii_leaves_with_escapes() -> None:
    assert converse("\xa0 x".encode(), "VRFY \xfc<".encode(), b"NOOP") == [
        b'500 Error: command "\\xa0" not recognized\r\n',
        VERIFIED,
        OK,
    ]
    assert converse("VRFY <\u20ac".encode()) == [VERIFIED]
    assert converse("VRFY @\u20ac\U0001f600".encode()) == [
        b"502 Could not VRFY @\\u20ac\\U0001f600\r\n"
    ]


def test_a_handlers_reply_with_characters_beyond_ascii_leaves_with_escapes() -> None:
    class Answers(Server):
        answers = iter(["250 gr\xfc\xdfe"])

    with serving(Answers) as server, connected(server) as client:
        start_data(client)
        assert client.say(b"x\r\n.") == b"250 gr\\xfc\\xdfe\r\n"


@pytest.mark.parametrize("settings", [{}, {"decode_data": True}])
def test_carriage_returns_and_line_feeds_in_echoed_text_are_escaped(
    settings: dict[str, Any],
) -> None:
    replies = converse(
        b"A\r250 B\nC", b"VRFY <\r250 ok\n", b"VRFY @a\r\n", b"NOOP", **settings
    )
    assert replies[0] == b'500 Error: command "A\\R250" not recognized\r\n' or (
        replies[0] == b'500 Error: command "A\\r250" not recognized\r\n'
    )
    assert replies[1].count(b"\n") == 1
    assert all(reply.count(b"\r") == 1 for reply in replies)


@pytest.mark.parametrize("cut", range(1, 6))
def test_a_character_cut_between_segments_decodes(cut: int) -> None:
    text = "\xe9\u20ac\U0001f600".encode()
    with on_stage(Server, decode_data=True) as stage, stage.connect() as client:
        line = b"VRFY @" + text
        client.send(line[: 6 + cut])
        stage.until(lambda: stage.channels[0].num_bytes)
        client.send(line[6 + cut :] + b"\r\n")
        assert b"VRFY @\\xe9\\u20ac\\U0001f600" in stage.hear(client)
        for line in (b"HELO x", *TRANSACTION, b"DATA"):
            stage.say(client, line)
        client.send(text[:cut])
        stage.turn(3, timeout=0.01)
        assert stage.say(client, text[cut:] + b"\r\n.") == OK
        assert stage.server.messages[0].data == text.decode()


@pytest.mark.parametrize(
    "data", [b"\xff", b"a\r\n\xc3\r\nb", b"\xed\xa0\x80", b"x\xc3"]
)
def test_data_that_is_not_utf8_gets_554_with_decode_data(data: bytes) -> None:
    with serving(Server, decode_data=True) as server, connected(server) as client:
        start_data(client)
        reply = client.say(data + b"\r\n.")
        assert reply == b"554 Error: message is not valid UTF-8\r\n"
        assert client.say(b"RCPT TO:<a@b>") == NEED_MAIL
        client.send(MESSAGE)
        assert client.replies(4)[-1] == OK
    assert [message.data for message in server.messages] == ["hello"]
    assert server.errors == []


# Transactions


def test_after_552_the_channel_reads_commands_again() -> None:
    with serving(Server, data_size_limit=10) as server, connected(server) as client:
        start_data(client)
        assert client.say(b"x" * 11 + b"\r\n.") == TOO_MUCH
        assert client.say(b"DATA") == NEED_RCPT
        assert client.say(b"RCPT TO:<e@f>") == NEED_MAIL
        client.send(MESSAGE)
        assert client.replies(4)[-1] == OK
    (message,) = server.messages
    assert (message.rcpttos, message.data) == (["c@d"], b"hello")


@pytest.mark.parametrize("size, reply", [(10, OK), (11, TOO_MUCH)])
@pytest.mark.parametrize("segments", [1, 5])
def test_a_message_may_have_just_as_many_octets_as_the_limit(
    size: int, reply: bytes, segments: int
) -> None:
    data = b"x" * size
    with on_stage(Server, data_size_limit=10) as stage, stage.connect() as client:
        for line in (b"HELO x", *TRANSACTION, b"DATA"):
            stage.say(client, line)
        step = -(-size // segments)
        for start in range(0, size, step):
            client.send(data[start : start + step])
            stage.turn(2, timeout=0.01)
        assert stage.say(client, b"\r\n.") == reply


@pytest.mark.parametrize("settings", [{}, {"decode_data": True}])
def test_a_dot_straight_after_data_is_an_empty_message(
    settings: dict[str, Any],
) -> None:
    with serving(Server, **settings) as server, connected(server) as client:
        start_data(client)
        assert client.say(b".") == OK
        assert client.say(b"NOOP") == OK
    assert [len(message.data) for message in server.messages] == [0]


@pytest.mark.parametrize(
    "pieces", [[b".", b"\r\n"], [b".\r", b"\n"], [b".", b"\r", b"\n"]]
)
def test_a_dot_straight_after_data_may_come_in_pieces(pieces: list[bytes]) -> None:
    with on_stage(Server) as stage, stage.connect() as client:
        for line in (b"HELO x", *TRANSACTION, b"DATA"):
            stage.say(client, line)
        for piece in pieces:
            client.send(piece)
            stage.turn(2, timeout=0.01)
        assert stage.hear(client) == OK
        assert stage.server.messages[0].data == b""


@pytest.mark.parametrize(
    "data",
    [
        *(
            b"a\n.\nb",
            b"a\r.\rb",
            b"a\n.\r\nb",
            b"a\r\n.\nb",
            b"a\r\n.\rb",
            b"a\r.\r\nb",
        ),
        *(b".\nb", b".\rb", b".\n", b"\n.\n", b"\r.\r", b"a\r\r\n.\r\r\nb", b"..\r\nb"),
    ],
)
@pytest.mark.parametrize("in_octets", [False, True])
def test_inbound_smuggling_shapes_never_end_the_data(
    data: bytes, in_octets: bool
) -> None:
    """Only CRLF.CRLF does, and what the handler gets is what the original gives it."""
    with on_stage(Server) as stage, stage.connect() as client:
        for line in (b"HELO x", *TRANSACTION, b"DATA"):
            stage.say(client, line)
        pieces = [data[at : at + 1] for at in range(len(data))] if in_octets else [data]
        for piece in pieces:
            client.send(piece)
            stage.turn(1, timeout=0.01)
        assert stage.server.messages == []
        stage.say(client, b"\r\nEND\r\n.")
        assert len(stage.server.messages) == 1
        assert stage.say(client, b"NOOP") == OK
    expected = b"\n".join(
        line[1:] if line.startswith(b".") else line for line in data.split(b"\r\n")
    )
    assert stage.server.messages[0].data == expected + b"\nEND"


def test_options_of_one_transaction_do_not_reach_the_next() -> None:
    with serving(Server) as server, connected(server) as client:
        client.say(b"EHLO x")
        client.send(MESSAGE.replace(b"<a@b>", b"<a@b> BODY=8BITMIME"))
        client.replies(4)
        client.send(b"MAIL FROM:<a@b> BODY=8BITMIME\r\nRSET\r\n" + MESSAGE)
        client.replies(6)
    options = [message.options["mail_options"] for message in server.messages]
    assert options == [["BODY=8BITMIME"], []]


def test_the_recipients_options_are_always_empty() -> None:
    with serving(Server) as server, connected(server) as client:
        client.say(b"EHLO x")
        client.say(b"MAIL FROM:<a@b>")
        assert client.say(b"RCPT TO:<refused@d> FOO=BAR").startswith(b"555")
        assert client.say(b"RCPT TO:<c@d>") == OK
        client.say(b"DATA")
        client.say(b"x\r\n.")
    (message,) = server.messages
    assert message.rcpttos == ["c@d"]
    assert message.options["rcpt_options"] == []


def test_a_refused_mail_leaves_smtputf8_off() -> None:
    with on_stage(Server, enable_SMTPUTF8=True) as stage, stage.connect() as client:
        stage.say(client, b"EHLO x")
        (channel,) = stage.channels
        assert stage.say(client, b"MAIL FROM:<a@b> SMTPUTF8 FOO").startswith(b"555")
        assert not channel.require_SMTPUTF8
        assert (channel.mailfrom, channel.mail_options) == (None, [])
        assert stage.say(client, "\xfc".encode()).isascii()
        assert stage.say(client, b"MAIL FROM:<a@b>") == OK


def test_a_refused_mail_or_rcpt_does_not_touch_the_transaction() -> None:
    replies = converse(
        b"EHLO x",
        b"MAIL FROM:<a@b>",
        b"RCPT TO:<c@d>",
        b"RCPT TO:<",
        b"RCPT TO:<e@f> FOO",
        b"MAIL FROM:<g@h>",
        b"DATA",
    )
    assert replies[1:3] == [OK, OK]
    assert replies[-1] == GO_ON


def test_rset_clears_the_transaction_and_keeps_the_greeting() -> None:
    replies = converse(b"HELO x", *TRANSACTION, b"RSET", b"DATA", b"MAIL FROM:<a@b>")
    assert replies[3:] == [OK, NEED_RCPT, OK]


@pytest.mark.parametrize(
    "after", [b"NOOP\r\n", MESSAGE, b"QUIT\r\n", b"x" * 1000, b"\xff\r\n"]
)
def test_nothing_after_quit_is_acted_on(after: bytes) -> None:
    with serving(Server) as server, connected(server) as client:
        client.send(b"HELO x\r\nQUIT\r\n" + after)
        assert client.rest() == b"250 mx.test\r\n221 Bye\r\n"
    assert server.messages == []


def test_pipelined_commands_are_answered_in_order_in_one_segment() -> None:
    with on_stage(Server) as stage, stage.connect() as client:
        client.send(b"EHLO x\r\n" + MESSAGE + b"NOOP\r\nFOO\r\nQUIT\r\n")
        heard = stage.rest(client)
    codes = [line[:4] for line in heard.splitlines()]
    assert codes == (
        [b"250-"] * 3 + [b"250 "] * 3 + [b"354 ", b"250 ", b"250 ", b"500 ", b"221 "]
    )


def test_what_a_turn_has_to_say_leaves_in_one_segment_at_once() -> None:
    """Several would wait for each other's acknowledgements (Nagle's algorithm)."""

    class CountsSegments(Channel):
        segments = 0

        def send(self, data: bytes) -> int:
            self.segments += 1
            return super().send(data)

    class Serves(Server):
        channel_class = CountsSegments

    with on_stage(Serves) as stage, stage.connect() as client:
        (channel,) = stage.channels
        assert channel.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        for said, replies in ((b"EHLO x\r\n", 1), (MESSAGE + b"NOOP\r\n" * 9, 13)):
            channel.segments = 0
            client.send(said)
            for _ in range(replies):
                stage.hear(client)
            assert channel.segments == 1
        channel.segments = 0
        assert stage.say(client, b"QUIT") == b"221 Bye\r\n"
        assert (stage.rest(client), channel.segments) == (b"", 1)


def test_what_comes_octet_by_octet_is_what_comes_at_once() -> None:
    session = b"EHLO x\r\n" + MESSAGE + b"VRFY @\xc3\xbc\r\n\r\nQUIT\r\n"
    with serving(Server) as server:
        with connected(server) as client:
            client.send(session)
            at_once = client.rest()
        with connected(server) as client:
            client.send(*(session[at : at + 1] for at in range(len(session))))
            assert client.rest() == at_once
    assert [message.data for message in server.messages] == [b"hello"] * 2


def test_a_channel_may_set_the_terminators_that_asynchat_takes() -> None:
    """A number of octets, several octets, or none, as for a command like BDAT."""
    chunks: list[bytes] = []

    class TakesChunks(Channel):
        chunk: Any = None

        def smtp_BDAT(self, arg: str) -> None:
            self.chunk = b""
            self.set_terminator({"END": b"END", "ALL": None}.get(arg) or int(arg or 0))

        def collect_incoming_data(self, data: bytes) -> None:
            if self.chunk is None:
                super().collect_incoming_data(data)
            else:
                self.chunk += data

        def found_terminator(self) -> None:
            if self.chunk is None:
                super().found_terminator()
                return
            chunks.append(self.chunk)
            self.chunk = None
            self.set_terminator(b"\r\n")
            self.push("250 chunk")

    class Serves(Server):
        channel_class = TakesChunks

    with on_stage(Serves) as stage, stage.connect() as client:
        client.send(b"BDAT 7\r\n\r\n.\r\nabNOOP\r\nBDAT END\r\nxEN")
        assert stage.hear(client) == b"250 chunk\r\n"
        assert stage.hear(client) == OK
        stage.turn(1, timeout=0.01)
        client.send(b"DBDAT 3\r\n1")
        assert stage.hear(client) == b"250 chunk\r\n"
        client.send(b"2")
        stage.turn(1, timeout=0.01)
        client.send(b"3NOOP\r\n")
        assert stage.hear(client) == b"250 chunk\r\n"
        assert stage.hear(client) == OK
        (channel,) = stage.channels
        client.send(b"BDAT 0\r\nall the")
        stage.until(lambda: channel.chunk == b"all the")
        client.send(b" rest\r\n")
        stage.until(lambda: channel.chunk == b"all the rest\r\n")
        assert stage.server.errors == []
    assert chunks == [b"\r\n.\r\nab", b"x", b"123"]


# Limits


class Measures(Server):
    """Notes the size of a message, and keeps nothing else of it."""

    def process_message(self, *args: Any, **kwargs: Any) -> None:
        self.sizes = [len(args[3])]


@pytest.mark.parametrize(
    "helo, line, longest",
    [
        (b"HELO x", b"NOOP ", 512),
        (b"EHLO x", b"NOOP ", 512),
        (b"HELO x", b"MAIL FROM:<a@b> ", 512),
        (b"EHLO x", b"MAIL FROM:<a@b> ", 538),
        (b"EHLO x", b"FOO ", 512),
        (b"EHLO x", b"VRFY ", 512),
    ],
)
def test_a_command_line_may_have_just_as_many_octets_as_its_limit(
    helo: bytes, line: bytes, longest: int
) -> None:
    fits = line.ljust(longest, b"x")
    replies = converse(helo, fits, fits + b"x", b"NOOP")
    assert replies[1] != TOO_LONG
    assert replies[2:] == [TOO_LONG, OK]


def test_smtputf8_lengthens_the_longest_mail_command() -> None:
    fits = b"MAIL FROM:<a@b> ".ljust(548, b"x")
    replies = converse(b"EHLO x", fits, fits + b"x", enable_SMTPUTF8=True)
    assert replies[1:] == [
        b"555 MAIL FROM parameters not recognized or not implemented\r\n",
        TOO_LONG,
    ]


def test_command_size_limits_belong_to_one_channel() -> None:
    with on_stage(Server) as stage:
        clients = [stage.connect() for _ in range(3)]
        for client in clients[:2]:
            stage.say(client, b"EHLO x")
        limits = [dict(channel.command_size_limits) for channel in stage.channels]
        assert limits == [{"MAIL": 538}, {"MAIL": 538}, {}]
        assert not smtpd_compat.SMTPChannel.command_size_limits
        for client in clients:
            client.close()


def test_unknown_commands_are_not_kept() -> None:
    with on_stage(Server) as stage, stage.connect() as client:
        stage.say(client, b"EHLO x")
        for number in range(100):
            stage.say(client, b"X%d y" % number)
        (channel,) = stage.channels
        assert set(channel.command_size_limits) <= {"MAIL", "RCPT"}


def kept_octets(channel: Any) -> int:
    """All that a channel holds of what its client sent or has not read."""
    kept = sum(len(line) for line in channel.received_lines) + len(channel.ac_in_buffer)
    kept += sum(len(unsent) for unsent in channel.producer_fifo)
    if channel._smtpd_text is not None:
        kept += channel._smtpd_text._text.tell()
    return kept


@pytest.mark.parametrize("decode_data", [False, True])
@pytest.mark.parametrize("fill", [b"x", b"\r", b"\n", b"\r\n."[:1] + b".", b"\xff"])
def test_a_line_that_never_ends_costs_no_more_than_the_limit(
    fill: bytes, decode_data: bool
) -> None:
    with on_stage(Server, decode_data=decode_data) as stage, stage.connect() as client:
        (channel,) = stage.channels
        sent = 0
        client.socket.setblocking(False)
        while sent < 1 << 22:
            try:
                sent += client.socket.send((fill * 70_000)[:65_536])
            except BlockingIOError:
                pass
            stage.turn(timeout=0.01)
            assert kept_octets(channel) <= 2 * channel.ac_in_buffer_size
        client.socket.settimeout(20)
        client.send(b"\r\n")
        assert stage.hear(client) in (TOO_LONG, BAD)
        assert stage.say(client, b"NOOP") == OK


@pytest.mark.parametrize("decode_data", [False, True])
@pytest.mark.parametrize("fill", [b"x", b"\r\n", b"\r\n..", b"\r\n.\r"])
def test_data_that_never_ends_costs_no_more_than_the_limit(
    fill: bytes, decode_data: bool
) -> None:
    settings = {"data_size_limit": 100_000, "decode_data": decode_data}
    with on_stage(Server, **settings) as stage, stage.connect() as client:
        for line in (b"HELO x", *TRANSACTION, b"DATA"):
            stage.say(client, line)
        (channel,) = stage.channels
        sent = 0
        client.socket.setblocking(False)
        while sent < 1 << 22:
            try:
                sent += client.socket.send(fill * (65_536 // len(fill)))
            except BlockingIOError:
                pass
            stage.turn(timeout=0.01)
            assert kept_octets(channel) <= 100_000 + 2 * channel.ac_in_buffer_size
        client.socket.settimeout(20)
        client.send(b"x\r\n.\r\n")
        assert stage.hear(client) == TOO_MUCH
        assert kept_octets(channel) == 0
        assert stage.say(client, b"NOOP") == OK


@pytest.mark.parametrize(
    "line",
    [b"x" * 76 + b"\r\n", b"\r\n", b"..\r\n", b"\r\r\n", b"x" * 998 + b"\r\n", b"\xff"],
)
def test_a_message_costs_at_most_two_and_a_half_times_its_size(line: bytes) -> None:
    segment = line * (65_536 // len(line))
    with on_stage(Measures) as stage, stage.connect() as client:
        for line in (b"HELO x", *TRANSACTION, b"DATA"):
            stage.say(client, line)
        tracemalloc.start()
        try:
            for _ in range(100):
                client.send(segment)
                stage.turn(1, timeout=0.01)
            assert stage.say(client, b"\r\n.") == OK
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        size = 100 * len(segment)
        assert 0.3 * size < peak < 2.5 * size
        assert stage.server.sizes[0] > 0.3 * size


@pytest.mark.parametrize("loop", [asyncore.loop, smtpd_compat.loop])
@pytest.mark.parametrize("line", [b"NOOP\r\n", b"HELP\r\n", b"\r\n"])
def test_a_client_that_never_reads_is_not_read_from_for_ever(
    line: bytes, loop: Any
) -> None:
    """Back-pressure: its replies are bounded, and those who read are served."""
    with on_stage(Server, loop=loop) as stage, stage.connect() as client:
        (channel,) = stage.channels
        flood = line * (60_000 // len(line))
        client.socket.setblocking(False)
        refused = 0
        most = 0
        while refused < 50:
            try:
                client.socket.send(flood)
                refused = 0
            except BlockingIOError:
                refused += 1
            stage.turn(timeout=0.001)
            most = max(most, kept_octets(channel))
        assert not channel.readable()
        assert most < 8 << 20
        with stage.connect() as other:
            assert stage.say(other, b"NOOP") == OK
        # It reads at last, and is heard again.
        client.socket.settimeout(20)
        while not channel.readable():
            client.socket.recv(1 << 20)
            stage.turn(timeout=0.01)
    assert stage.server.errors == []


def test_recipients_beyond_the_limit_are_told_452() -> None:
    class TakesTwo(Server):
        recipient_limit = 2

    with serving(TakesTwo) as server, connected(server) as client:
        client.say(b"HELO x")
        for _ in range(2):
            client.say(b"MAIL FROM:<a@b>")
            replies = [client.say(b"RCPT TO:<%d@d>" % number) for number in range(3)]
            assert replies == [OK, OK, b"452 Too many recipients\r\n"]
            client.say(b"DATA")
            assert client.say(b"x\r\n.") == OK
    assert [message.rcpttos for message in server.messages] == [["0@d", "1@d"]] * 2


def test_recipients_are_not_limited_unless_a_class_says_so() -> None:
    with serving(Server) as server, connected(server) as client:
        client.send(b"HELO x\r\nMAIL FROM:<a@b>\r\n" + b"RCPT TO:<c@d>\r\n" * 3000)
        assert set(client.replies(3002)[2:]) == {OK}


# Handlers that fail


@pytest.mark.parametrize(
    "answer",
    [
        ValueError("no"),
        UnicodeError(),
        RecursionError(),
        MemoryError(),
        OSError(9, "bad"),
        250,
        2.5,
        pytest.param(object(), id="an object"),
        ["250 OK"],
    ],
    ids=repr,
)
@pytest.mark.parametrize("settings", [{}, {"decode_data": True}])
def test_a_handler_that_fails_is_answered_451_and_the_connection_goes_on(
    answer: Any, settings: dict[str, Any]
) -> None:
    class Fails(Server):
        answers = iter([answer, None])

    with serving(Fails, **settings) as server, connected(server) as client:
        start_data(client)
        assert client.say(b"x\r\n.") == FAILED
        assert client.say(b"RCPT TO:<e@f>") == NEED_MAIL
        client.send(MESSAGE)
        assert client.replies(4) == [OK, OK, GO_ON, OK]
    assert [message.rcpttos for message in server.messages] == [["c@d"]] * 2
    assert len(server.errors) == 1


@pytest.mark.parametrize("hook", ["collect_incoming_data", "found_terminator"])
@pytest.mark.parametrize("segments", [1, 3])
def test_a_handler_that_fails_is_answered_451_with_overridden_hooks_too(
    hook: str, segments: int
) -> None:
    class Overrides(Channel):
        pass

    setattr(Overrides, hook, lambda self, *args: getattr(Channel, hook)(self, *args))

    class Fails(Server):
        channel_class = Overrides
        answers = iter([ValueError("no"), None])

    with on_stage(Fails) as stage, stage.connect() as client:
        stage.say(client, b"HELO x")
        for reply in (FAILED, OK):
            for line in (*TRANSACTION, b"DATA"):
                stage.say(client, line)
            for _ in range(segments - 1):
                client.send(b"hello\r\n")
                stage.turn(1, timeout=0.01)
            client.send(b"x\r\n.\r\n")
            assert stage.hear(client) == reply
        assert [message.data[-1:] for message in stage.server.messages] == [b"x", b"x"]


def test_a_handlers_failure_is_logged_as_asyncore_logs_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Fails(smtpd_compat.SMTPServer):
        def process_message(self, *args: Any, **kwargs: Any) -> None:
            raise ValueError("no")

    with serving(Fails) as server, connected(server) as client:
        client.send(b"HELO x\r\n" + MESSAGE)
        assert client.replies(5)[-1] == FAILED
    logged = capsys.readouterr().out
    assert logged.startswith("error: uncaptured python exception, keeping channel <")
    assert "(<class 'ValueError'>:no [" in logged
    assert "|process_message|" in logged


class _NoText(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("error", [_NoText(), ValueError("\udcff\xfc")])
def test_a_failure_that_cannot_be_logged_as_it_is_does_no_harm(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fails(smtpd_compat.SMTPServer):
        def process_message(self, *args: Any, **kwargs: Any) -> None:
            raise error

    class AsciiOnly:
        text = ""

        def write(self, text: str) -> None:
            text.encode("ascii")
            self.text += text

        def flush(self) -> None:
            pass

    log = AsciiOnly()
    monkeypatch.setattr("sys.stdout", log)
    with serving(Fails) as server, connected(server) as client:
        client.send(b"HELO x\r\n" + MESSAGE)
        assert client.replies(5)[-1] == FAILED
        assert client.say(b"NOOP") == OK
    assert type(error).__name__ in log.text


def test_a_type_error_of_the_handler_is_no_reason_to_call_it_again() -> None:
    class Joins(Server):
        def process_message(self, *args: Any, **kwargs: Any) -> Any:
            super().process_message(*args, **kwargs)
            return "".join(args[3].splitlines())

    class Watched(Channel):
        def found_terminator(self) -> None:
            super().found_terminator()

    for channel_class in (Channel, Watched):
        with on_stage(Joins) as stage:
            stage.server.channel_class = channel_class
            with stage.connect() as client:
                for line in (b"HELO x", *TRANSACTION, b"DATA", b"1\r\n2"):
                    client.send(line + b"\r\n")
                    stage.turn(3, timeout=0.01)
                client.send(b".\r\n")
                assert [stage.hear(client) for _ in range(5)][-1] == FAILED
            assert [message.data for message in stage.server.messages] == [b"1\n2"]


def test_each_of_two_pipelined_failures_is_answered() -> None:
    class Fails(Server):
        answers = iter([ValueError("1"), ValueError("2")])

    with serving(Fails) as server, connected(server) as client:
        client.send(b"HELO x\r\n" + MESSAGE * 2 + b"NOOP\r\nQUIT\r\n")
        assert client.codes() == (
            [b"250"] + [b"250", b"250", b"354", b"451"] * 2 + [b"250", b"221"]
        )
    assert len(server.errors) == 2


@pytest.mark.parametrize("loop", [asyncore.loop, smtpd_compat.loop])
def test_an_overridden_handle_error_has_its_say_and_the_client_its_reply(
    loop: Any,
) -> None:
    class Quiet(Channel):
        def handle_error(self) -> None:
            self.smtp_server.errors.append("mine")

    class Fails(Server):
        channel_class = Quiet
        answers = iter([ValueError("1"), ValueError("2")])

    with serving(Fails, loop=loop) as server, connected(server) as client:
        client.send(b"HELO x\r\n" + MESSAGE * 2 + b"NOOP\r\nQUIT\r\n")
        assert client.codes() == (
            [b"250"] + [b"250", b"250", b"354", b"451"] * 2 + [b"250", b"221"]
        )
    assert server.errors == ["mine", "mine"]


def test_an_overridden_handle_error_that_closes_has_the_last_word() -> None:
    class Closes(Channel):
        def handle_error(self) -> None:
            self.close()

    class Fails(Server):
        channel_class = Closes
        answers = iter([ValueError("no")])

    with serving(Fails) as server, connected(server) as client:
        start_data(client)
        client.send(b"x\r\n.\r\nNOOP\r\n")
        assert client.rest() == b""
    assert server.errors == []


def test_an_overridden_handle_error_that_calls_asyncores_closes_as_ever() -> None:
    class Calls(Channel):
        def handle_error(self) -> None:
            super().handle_error()

    class Fails(Server):
        channel_class = Calls
        answers = iter([ValueError("no")])

    with serving(Fails) as server, connected(server) as client:
        start_data(client)
        client.send(b"x\r\n.\r\n")
        assert client.rest() == b""
    assert len(server.errors) == 1


def test_a_reply_from_an_overridden_handle_error_is_the_only_one() -> None:
    class Answers(Channel):
        def handle_error(self) -> None:
            self.push("450 try again")

    class Fails(Server):
        channel_class = Answers
        answers = iter([ValueError("no")])

    with serving(Fails) as server, connected(server) as client:
        start_data(client)
        client.send(b"x\r\n.\r\nMAIL FROM:<a@b>\r\nQUIT\r\n")
        assert client.codes() == [b"450", b"250", b"221"]


def test_a_handle_error_that_raises_leaves_the_loop_as_in_asyncore() -> None:
    class Raises(Channel):
        def handle_error(self) -> None:
            raise LookupError("mine")

    class Fails(Server):
        channel_class = Raises
        answers = iter([ValueError("no")])

    with on_stage(Fails) as stage, stage.connect() as client:
        client.send(b"HELO x\r\n" + MESSAGE)
        with pytest.raises(LookupError, match="mine"):
            stage.until(lambda: False)


@pytest.mark.parametrize("loop", [asyncore.loop, smtpd_compat.loop])
@pytest.mark.parametrize("leaves", [asyncore.ExitNow, SystemExit, KeyboardInterrupt])
def test_what_leaves_the_loop_by_intent_leaves_it(
    leaves: type[BaseException], loop: Any
) -> None:
    class Leaves(Server):
        answers = iter([leaves()])

    with on_stage(Leaves, loop=loop) as stage, stage.connect() as client:
        client.send(b"HELO x\r\n" + MESSAGE)
        with pytest.raises(leaves):
            stage.until(lambda: False)
        assert stage.server.errors == []


@pytest.mark.parametrize("method", ["handle_read", "found_terminator"])
def test_an_exception_from_a_hook_called_directly_propagates(method: str) -> None:
    class Fails(Server):
        answers = iter([ValueError("no")])

    with on_stage(Fails) as stage, stage.connect() as client:
        for line in (b"HELO x", *TRANSACTION, b"DATA"):
            stage.say(client, line)
        (channel,) = stage.channels
        if method == "handle_read":
            client.send(b"x\r\n.\r\n")
            stage.until(lambda: client.socket.send(b"") == 0)
            channel.socket.setblocking(True)
        with pytest.raises(ValueError, match="no"):
            getattr(channel, method)()
        assert stage.server.errors == []


@pytest.mark.parametrize("hook", ["push", "set_terminator", "smtp_NOOP", "log_info"])
def test_a_channel_with_a_broken_hook_does_not_hold_up_the_loop(hook: str) -> None:
    class Broken(Channel):
        is_broken = False

    def broken(self: Any, *args: Any) -> Any:
        if self.is_broken:
            raise ValueError("broken")
        return getattr(Channel, hook)(self, *args)

    setattr(Broken, hook, broken)

    class Serves(Server):
        channel_class = Broken

    with on_stage(Serves) as stage, stage.connect() as client:
        stage.channels[0].is_broken = True
        client.send(b"NOOP\r\n" + b"RSET\r\n" * 3)
        stage.turn(5, timeout=0.01)
        with stage.connect() as other:
            assert stage.say(other, b"NOOP") == OK
        assert len(stage.server.errors) < 10
        if hook in ("push", "set_terminator"):
            # The failure cannot be answered: this is the end of the connection.
            assert "closing channel" in stage.server.errors[-1]
            assert stage.rest(client) in (b"", OK)


def test_a_collector_that_fails_in_mid_message_ends_the_connection() -> None:
    """What follows is the rest of the message, and must not be taken for commands."""

    class Fails(Channel):
        def collect_incoming_data(self, data: bytes) -> None:
            if self.smtp_state == self.DATA:
                raise ValueError("no")
            super().collect_incoming_data(data)

    class Serves(Server):
        channel_class = Fails

    with serving(Serves) as server, connected(server) as client:
        start_data(client)
        client.send(b"x\r\nMAIL FROM:<evil@b>\r\nRCPT TO:<c@d>\r\n")
        reply = b"421 Error: local error in processing, closing connection\r\n"
        assert client.rest() == reply
    assert server.messages == []


def test_a_handler_that_closes_its_channel_is_no_error() -> None:
    class Closes(Server):
        def process_message(self, *args: Any, **kwargs: Any) -> None:
            super().process_message(*args, **kwargs)
            for channel in list(self._map.values()):
                if isinstance(channel, Channel):
                    channel.close()

    with serving(Closes) as server, connected(server) as client:
        start_data(client)
        client.send(b"x\r\n.\r\n" + MESSAGE)
        assert client.rest() == b""
        assert len(server.messages) == 1
        with connected(server) as other:
            assert other.say(b"NOOP") == OK
    assert server.errors == []


def test_a_handler_may_push_into_another_channel() -> None:
    class Tells(Server):
        def process_message(self, *args: Any, **kwargs: Any) -> None:
            for channel in self._map.values():
                if isinstance(channel, Channel):
                    channel.push("250-mail for you")

    with serving(Tells) as server:
        with connected(server) as other, connected(server) as client:
            start_data(client)
            client.send(b"x\r\n.\r\n")
            assert client.reply() == b"250-mail for you\r\n" + OK
            assert other.line() == b"250-mail for you\r\n"
            assert other.say(b"NOOP") == OK


def test_what_a_handler_leaves_in_received_lines_is_no_command() -> None:
    class Leaves(Server):
        def process_message(self, *args: Any, **kwargs: Any) -> None:
            for channel in self._map.values():
                if isinstance(channel, Channel):
                    channel.received_lines.append(b"QUIT ")

    with serving(Leaves) as server, connected(server) as client:
        start_data(client)
        assert client.say(b"x\r\n.") == OK
        assert client.say(b"NOOP") == OK


def test_a_handler_may_keep_its_arguments() -> None:
    """The next transaction must not change what an earlier message was given."""
    kept: list[Any] = []

    class Keeps(KeepsLog, smtpd_compat.SMTPServer):
        channel_class = Channel
        errors: list[str] = []

        def process_message(
            self, peer: Any, mailfrom: Any, rcpttos: Any, data: Any, **kwargs: Any
        ) -> None:
            kept.append((rcpttos, kwargs["mail_options"]))

    with serving(Keeps) as server, connected(server) as client:
        client.say(b"EHLO x")
        client.send(MESSAGE.replace(b"<a@b>", b"<a@b> SIZE=1") + MESSAGE)
        client.replies(8)
    assert kept == [(["c@d"], ["SIZE=1"]), (["c@d"], [])]


# Clients that go


def test_a_client_that_ends_its_side_gets_all_replies() -> None:
    with serving(Server) as server, connected(server) as client:
        client.send(b"HELO x\r\n" + MESSAGE)
        client.no_more()
        assert client.codes() == [b"250", b"250", b"250", b"354", b"250"]
    assert len(server.messages) == 1


@pytest.mark.parametrize("end", ["close", "vanish", "no_more"])
@pytest.mark.parametrize("loop", [asyncore.loop, smtpd_compat.loop])
def test_a_client_may_go_at_any_point(end: str, loop: Any) -> None:
    session = b"HELO x\r\n" + MESSAGE.replace(b"\r\n.\r\n", b"\r\n.")
    with on_stage(Server, loop=loop) as stage:
        for cut in range(0, len(session) + 1, 3):
            client = Client(stage.server.socket.getsockname())
            client.send(session[:cut])
            stage.turn(cut % 4)
            getattr(client, end)()
            stage.turn(3)
            client.close()
        stage.until(lambda: not stage.channels)
        assert stage.server.messages == []
        with stage.connect() as client:
            assert stage.say(client, b"NOOP") == OK
        assert stage.server.errors == []


@pytest.mark.parametrize("call", ["recv", "send"])
@pytest.mark.parametrize("loop", [asyncore.loop, smtpd_compat.loop])
def test_a_connection_that_breaks_otherwise_is_logged_and_closed(
    loop: Any, call: str
) -> None:
    """Such as with ETIMEDOUT, which asyncore does not take for a usual end."""

    class Breaks(socket.socket):
        pass

    def breaks(self: Any, *args: Any) -> Any:
        raise OSError(errno.ETIMEDOUT, "timed out")

    setattr(Breaks, call, breaks)
    with on_stage(Server, loop=loop) as stage, stage.connect() as client:
        (channel,) = stage.channels
        channel.socket = Breaks(fileno=channel.socket.detach())
        client.send(b"NOOP\r\n")
        assert stage.rest(client) == b""
        (error,) = stage.server.errors
        assert "closing channel" in error and "timed out" in error


@pytest.mark.parametrize("loop", [asyncore.loop, smtpd_compat.loop])
def test_a_client_that_goes_with_replies_unread_is_no_error(loop: Any) -> None:
    with on_stage(Server, loop=loop) as stage:
        client = stage.connect()
        (channel,) = stage.channels
        client.socket.setblocking(False)
        while channel.readable():
            try:
                client.socket.send(b"HELP\r\n" * 10_000)
            except BlockingIOError:
                pass
            stage.turn(timeout=0.001)
        client.vanish()
        stage.until(lambda: not stage.channels)
        assert stage.server.errors == []


@pytest.mark.parametrize(
    "loop",
    [
        asyncore.loop,
        lambda **kwargs: asyncore.loop(use_poll=True, **kwargs),
        smtpd_compat.loop,
    ],
    ids=["select", "poll", "own"],
)
def test_an_urgent_octet_does_not_keep_the_loop_busy(loop: Any) -> None:
    with on_stage(Server, loop=loop) as stage, stage.connect() as client:
        client.socket.send(b"!", socket.MSG_OOB)
        (channel,) = stage.channels
        turns = []
        readable = channel.readable
        channel.readable = lambda: turns.append(1) or readable()
        stage.turn(2, timeout=0.01)
        turns.clear()
        stage.turn(2, timeout=0.01)
        assert stage.say(client, b"NOOP") == OK
        # A loop that is kept busy does not wait for the client's next line.
        assert len(turns) < 20


# Silence


class Patient(Server):
    idle_timeout = 300


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Have the clock of channels and servers be *seconds* ahead of the system's."""
    from time import monotonic

    for module in ("_chat", "_channel", "_server"):
        monkeypatch.setattr(
            f"smtpd_compat.{module}.monotonic",
            lambda: monotonic() + seconds,
            raising=False,
        )


FAREWELL = b"421 Error: timeout exceeded, closing connection\r\n"

LOOPS = pytest.mark.parametrize("loop", [asyncore.loop, smtpd_compat.loop])


@LOOPS
@pytest.mark.parametrize(
    "said",
    [b"", b"NOO", b"HELO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nhalf a mess"],
)
def test_a_silent_client_is_told_421_and_left(
    said: bytes, loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with on_stage(Patient, loop=loop) as stage, stage.connect() as client:
        client.send(said)
        for _ in range(said.count(b"\r\n")):
            stage.hear(client)
        stage.turn(2)
        later(monkeypatch, 299)
        stage.turn(3)
        assert not client.has_input()
        later(monkeypatch, 302)
        assert stage.rest(client) == FAREWELL
        assert stage.channels == []
        assert (stage.server.errors, stage.server.messages) == ([], [])


@LOOPS
def test_a_client_that_talks_is_not_left(
    loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with on_stage(Patient, loop=loop) as stage, stage.connect() as client:
        for minutes in range(4, 40, 4):
            later(monkeypatch, minutes * 60)
            assert stage.say(client, b"NOOP") == OK


@LOOPS
@pytest.mark.parametrize("vanished", [False, True])
def test_a_silent_client_that_takes_no_farewell_is_closed(
    loop: Any, vanished: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with on_stage(Patient, loop=loop) as stage, stage.connect() as client:
        (channel,) = stage.channels
        client.socket.setblocking(False)
        while channel.readable():
            try:
                client.socket.send(b"HELP\r\n" * 10_000)
            except BlockingIOError:
                pass
            stage.turn(timeout=0.001)
        if vanished:
            client.vanish()
        later(monkeypatch, 301)
        stage.turn(2)
        later(monkeypatch, 602)
        stage.turn(3)
        assert stage.channels == []
        with stage.connect() as other:
            assert stage.say(other, b"NOOP") == OK
        assert stage.server.errors == []


@LOOPS
def test_a_client_that_vanishes_as_its_time_is_over_does_no_harm(
    loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with on_stage(Patient, loop=loop) as stage:
        stage.connect().vanish()
        with stage.connect() as other:
            later(monkeypatch, 301)
            assert stage.rest(other) == FAREWELL
        assert stage.channels == []
        assert stage.server.errors == []


def test_time_is_not_limited_unless_a_class_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with on_stage(Server) as stage, stage.connect() as client:
        later(monkeypatch, 1e9)
        stage.turn(3)
        assert stage.say(client, b"NOOP") == OK


# Tracing


def test_the_conversation_is_traced_as_the_original_traces_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trace = io.StringIO()
    monkeypatch.setattr(smtpd_compat, "DEBUGSTREAM", trace)
    with serving(Server) as server, connected(server) as client:
        where = client.socket.getsockname()
        client.send(b"HELO x\r\n" + MESSAGE)
        client.replies(5)
    lines = trace.getvalue().splitlines()
    assert lines[3:] == [
        f"Incoming connection from {where!r}",
        f"Peer: {where!r}",
        "Data: b'HELO x'",
        "Data: b'MAIL FROM:<a@b>'",
        "===> MAIL FROM:<a@b>",
        "sender: a@b",
        "Data: b'RCPT TO:<c@d>'",
        "===> RCPT TO:<c@d>",
        "recips: ['c@d']",
        "Data: b'DATA'",
        "Data: b'hello'",
    ]
    assert len(server.messages) == 1


@pytest.mark.parametrize("settings", [{}, {"decode_data": True}])
@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_who_looks_on_does_not_change_the_conversation(
    encoding: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log file's encoding may lack what a client sends."""
    trace = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    session = (
        "EHLO \xfc\r\nMAIL FROM:<\xfc\u4e00@b>\r\nRCPT TO:<\U0001f600@d>\r\n"
        "VRFY \u4e00\r\n\u4e00\r\nMAIL FROM:<\u4e00\r\nDATA\r\n\u4e00\r\n.\r\nQUIT\r\n"
    ).encode()
    heard = []
    for stream in (smtpd_compat.DEBUGSTREAM, trace):
        monkeypatch.setattr(smtpd_compat, "DEBUGSTREAM", stream)
        with serving(Server, **settings) as server, connected(server) as client:
            client.send(session)
            heard.append(client.rest())
        assert server.errors == []
        assert [message.rcpttos for message in server.messages] == [["\U0001f600@d"]]
    assert heard[0] == heard[1]
    trace.seek(0)
    assert "recips: ['" in trace.read()


def test_received_lines_stay_empty_while_a_message_arrives() -> None:
    near, far = socket.socketpair()
    with near, far:
        channel = smtpd_compat.SMTPChannel(None, near, ("c", 1), map={})
        far.sendall(b"HELO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n")
        channel.handle_read()
        far.sendall(b"half a message\r\n, and half a line")
        channel.handle_read()
        assert channel.smtp_state == channel.DATA
        assert channel.num_bytes == len(b"half a message\r\n, and half a line")
        assert channel.received_lines == []
        channel.close()


def test_a_handler_that_says_what_it_takes_is_never_called_twice() -> None:
    """A TypeError from what it calls is its own, also where that is an old handler."""
    called: list[Any] = []

    class Old:
        def process_message(self, peer: Any, mailfrom: Any, to: Any, data: Any) -> None:
            raise AssertionError("not reached: refuses the keyword arguments")

    class Dispatches(Server):
        def process_message(
            self, peer: Any, mailfrom: Any, rcpttos: Any, data: Any, **kwargs: Any
        ) -> None:
            called.append(data)
            Old().process_message(peer, mailfrom, rcpttos, data, **kwargs)

    with serving(Dispatches) as server, connected(server) as client:
        start_data(client)
        assert client.say(b"x\r\n.").startswith(b"451 ")
    assert called == [b"x"]


def test_a_stand_in_for_a_server_may_have_any_attribute() -> None:
    stand_in = mock.Mock()
    stand_in.process_message.return_value = None
    near, far = socket.socketpair()
    with near, far:
        channel = smtpd_compat.SMTPChannel(stand_in, near, ("c", 1), map={})
        far.sendall(b"HELO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\n")
        channel.handle_read()
        assert far.recv(1000).endswith(b"<CR><LF>.<CR><LF>\r\n250 OK\r\n")
        channel.close()
    assert stand_in.process_message.call_args[0][1:] == ("a@b", ["c@d"], b"x")
