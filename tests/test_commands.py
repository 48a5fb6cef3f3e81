"""The commands: what each replies, its parameters, and the sizes it may have."""

from __future__ import annotations

import collections
import io

import pytest

import smtpd_compat
from tests.support.conversing import (
    BAD,
    GO_ON,
    NEED_MAIL,
    NEED_RCPT,
    OK,
    TOO_LONG,
    TRANSACTION,
    VERIFIED,
    converse,
)
from tests.support.keeping import Channel, Server
from tests.support.serving import serving
from tests.support.talking import connected, on_stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

pytestmark = pytest.mark.usefixtures("named_mx_test")

NESTED = b"503 Error: nested MAIL command\r\n"
NEED_HELO = b"503 Error: send HELO first\r\n"
DUPLICATE = b"503 Duplicate HELO/EHLO\r\n"
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


# Replies


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


@pytest.mark.parametrize("verb", sorted(SYNTAX))
def test_help_tells_the_syntax_of_a_command(verb: bytes) -> None:
    assert converse(b"HELP " + verb.lower()) == [b"250" + SYNTAX[verb][3:]]


@pytest.mark.parametrize("verb", [b"MAIL", b"RCPT"])
def test_help_mentions_parameters_after_ehlo(verb: bytes) -> None:
    replies = converse(b"EHLO x", b"HELP " + verb)
    assert replies[1] == b"250" + WITH_PARAMETERS[verb][3:]


def test_letters_that_upper_case_to_ascii_make_a_verb() -> None:
    assert converse("qu\u0131t".encode()) == [b"221 Bye\r\n"]


@pytest.mark.parametrize(
    "line", [b"\xff", b"NOOP \xff", b"MAIL FROM:<\xe9@b>", b"\xc3"]
)
@pytest.mark.parametrize("settings", [{}, {"decode_data": True}])
def test_a_command_line_that_is_not_utf8_is_bad_syntax(
    line: bytes, settings: dict[str, Any]
) -> None:
    assert converse(line, b"NOOP", **settings) == [BAD, OK]


@pytest.mark.parametrize("settings", [{}, {"decode_data": True}])
def test_carriage_returns_and_line_feeds_in_echoed_text_are_escaped(
    settings: dict[str, Any],
) -> None:
    replies = converse(
        b"A\r250 B\nC", b"VRFY <\r250 ok\n", b"VRFY @a\r\n", b"NOOP", **settings
    )
    assert replies[0] == b'500 Error: command "A\\r250" not recognized\r\n'
    assert replies[1].count(b"\n") == 1
    assert all(reply.count(b"\r") == 1 for reply in replies)


# The greeting


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


def test_a_second_greeting_is_refused_after_rset_too() -> None:
    assert converse(b"HELO x", b"RSET", b"HELO x")[1:] == [OK, DUPLICATE]


# Parameters


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


def test_of_several_sizes_the_last_counts() -> None:
    replies = converse(b"EHLO x", b"MAIL FROM:<a@b> SIZE=99999999 SIZE=1")
    assert replies[1] == OK


@pytest.mark.parametrize(
    "size", [b"SIZE", b"size", "SIZE=\xb2".encode(), "SIZE=1\xb2".encode()]
)
def test_size_without_a_number_is_a_syntax_error(size: bytes) -> None:
    replies = converse(b"EHLO x", b"MAIL FROM:<> " + size, b"MAIL FROM:<>")
    assert replies[1:] == [WITH_PARAMETERS[b"MAIL"], OK]


# Addresses


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
    _recipient_is(line, taken)


@pytest.mark.parametrize(
    "path",
    [
        "=?utf-8?q?root?=@example.org",
        "=?utf-8?b?cm9vdA==?=@example.org",
        "a@=?utf-8?q?evil=2Eexample=2Enet?=",
        '"a..b"@example.org',
        '""@example.org',
        "a@b\xa0c",
    ],
)
def test_the_handler_gets_the_mailbox_that_the_client_named(path: str) -> None:
    _recipient_is(f"RCPT TO:<{path}>".encode(), path)
    _recipient_is(f"RCPT TO:{path}".encode(), path)


def _recipient_is(line: bytes, taken: str) -> None:
    with serving(Server) as server, connected(server) as client:
        client.say(b"HELO x")
        for command in (b"MAIL FROM:<>", line, b"DATA"):
            assert client.say(command)[:1] in b"23"
        assert client.say(b"x\r\n.") == OK
    (message,) = server.messages
    assert (message.mailfrom, message.rcpttos) == ("<>", [taken])


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


# What a refusal leaves


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


# Limits


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


@pytest.mark.parametrize("limit", [0, None])
@pytest.mark.parametrize("cut", [None, 5, 700])
@pytest.mark.parametrize("traced", [False, True])
def test_a_command_size_limit_of_0_or_none_is_no_limit(
    limit: Any, cut: int | None, traced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unlimited(Channel):
        command_size_limit = limit

    class Serves(Server):
        channel_class = Unlimited

    if traced:
        monkeypatch.setattr(smtpd_compat, "DEBUGSTREAM", io.StringIO())
    line = b"NOOP".ljust(1000) + b"\r\n"
    with on_stage(Serves) as stage, stage.connect() as client:
        for _ in range(2):
            if cut:
                client.send(line[:cut])
                (channel,) = stage.channels
                stage.until(lambda: channel.received_lines)  # noqa: B023
            client.send(line[cut or 0 :])
            assert stage.hear(client) == OK
        assert stage.server.errors == []


def test_limits_of_a_greeted_session_may_be_0() -> None:
    class Unlimited(Channel):
        command_size_limit = 0
        command_size_limits = collections.defaultdict(int)

    class Serves(Server):
        channel_class = Unlimited

    with serving(Serves, data_size_limit=0) as server, connected(server) as client:
        assert client.say(b"EHLO x").startswith(b"250")
        assert client.say(b"NOOP".ljust(1000)) == OK
        assert client.say(b"NOOP".ljust(1000)) == OK


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


def test_command_size_limits_of_a_class_begin_anew_with_each_channel() -> None:
    limits = collections.defaultdict(lambda: 512, MAIL=5)

    class Presets(Channel):
        command_size_limits = limits

    class Serves(Server):
        channel_class = Presets

    line = b"MAIL FROM:<" + b"a" * 50 + b"@b>"
    assert converse(b"EHLO x", line, server=Serves)[1] == OK
    assert limits == {"MAIL": 5}


def test_unknown_commands_are_not_kept() -> None:
    with on_stage(Server) as stage, stage.connect() as client:
        stage.say(client, b"EHLO x")
        for number in range(100):
            stage.say(client, b"X%d y" % number)
        (channel,) = stage.channels
        assert set(channel.command_size_limits) <= {"MAIL", "RCPT"}


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
