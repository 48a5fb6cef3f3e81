"""The conversation: a channel's making, messages and their hand-over, failures."""

from __future__ import annotations

import io
import socket
from unittest import mock

import pytest

import smtpd_compat
from tests.support.conversing import (
    BAD,
    FAILED,
    GO_ON,
    MESSAGE,
    NEED_MAIL,
    NEED_RCPT,
    OK,
    TOO_LONG,
    TOO_MUCH,
    TRANSACTION,
    VERIFIED,
    converse,
    start_data,
)
from tests.support.keeping import Channel, KeepsLog, Server, kept_octets
from tests.support.loops import LOOPS
from tests.support.serving import serving
from tests.support.talking import Client, connected, on_stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

pytestmark = pytest.mark.usefixtures("named_mx_test")

BANNER = b"220 mx.test Python SMTP proxy version 0.3\r\n"


# The banner


def test_the_banner_names_the_host_and_the_version() -> None:
    with serving(Server) as server, Client((server.socket.getsockname())) as client:
        assert client.reply() == BANNER


def test_the_banner_shows_an_assigned_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtpd_compat, "__version__", "Mine 1")
    with serving(Server) as server, Client((server.socket.getsockname())) as client:
        assert client.reply() == b"220 mx.test Mine 1\r\n"


def test_a_channel_keeps_what_it_was_given() -> None:
    near, far = socket.socketpair()
    with near, far:
        channel = smtpd_compat.SMTPChannel("a server", near, ("c", 1), 5, {}, True)
        assert (channel.smtp_server, channel.conn) == ("a server", near)
        assert channel.addr == ("c", 1)
        assert channel.peer == near.getpeername()
        assert (channel.data_size_limit, channel.enable_SMTPUTF8) == (5, True)
        assert not channel._decode_data
        channel.close()


def test_a_channel_cannot_decode_and_offer_smtputf8_at_once() -> None:
    both: Any = {"enable_SMTPUTF8": True, "decode_data": True}
    map: dict[int, Any] = {}
    near_end, far_end = socket.socketpair()
    with near_end, far_end:
        with pytest.raises(ValueError, match="cannot be set to True at the same time"):
            smtpd_compat.SMTPChannel(None, near_end, None, map=map, **both)
        smtpd_compat.asyncore.close_all(map)


class Few:
    """A connection of a program's own, with no more methods than asyncore calls."""

    def __init__(self, system_s: socket.socket) -> None:
        for name in "fileno getpeername setblocking recv send close".split():
            setattr(self, name, getattr(system_s, name))


def test_a_connection_needs_no_more_than_asyncore_asks_of_it() -> None:
    near, far = socket.socketpair()
    with near, far:
        channel = smtpd_compat.SMTPChannel(None, Few(near), ("c", 1), map={})
        assert far.recv(1000) == BANNER
        far.sendall(b"NOOP\r\n")
        channel.handle_read()
        assert far.recv(1000) == OK
        channel.close()


def test_a_channel_leaves_the_map_that_it_is_told_to_leave() -> None:
    near, far = socket.socketpair()
    with near, far:
        own: dict[int, Any] = {}
        other: dict[int, Any] = {}
        channel = smtpd_compat.SMTPChannel(None, near, ("c", 1), map=own)
        channel.add_channel(other)
        assert own == other == {near.fileno(): channel}
        channel.del_channel(other)
        assert (own, other) == ({near.fileno(): channel}, {})
        own.clear()
        channel.close()


def test_a_terminator_is_set_as_in_asynchat() -> None:
    near, far = socket.socketpair()
    with near, far:
        channel = smtpd_compat.SMTPChannel(None, near, ("c", 1), map={})
        for given, kept in (("\n", b"\n"), (b"--", b"--"), (5, 5), (None, None)):
            channel.set_terminator(given)
            assert channel.get_terminator() == kept
        with pytest.raises(ValueError):
            channel.set_terminator(-1)
        channel.close()


def test_a_line_in_a_state_that_nobody_knows_is_internal_confusion() -> None:
    near, far = socket.socketpair()
    with near, far:
        channel = smtpd_compat.SMTPChannel(None, near, ("c", 1), map={})
        assert far.recv(1000) == BANNER
        channel.smtp_state, channel.num_bytes = 7, 5
        far.sendall(b"NOOP\r\n")
        channel.handle_read()
        assert far.recv(1000) == b"451 Internal confusion\r\n"
        assert (channel.smtp_state, channel.num_bytes) == (7, 0)
        channel.close()


# Messages


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


@pytest.mark.parametrize(
    ("decode_data", "values"),
    [(False, (b"", b"\r\n", ord("."), b"\n")), (True, ("", "\r\n", ".", "\n"))],
)
def test_a_channel_has_what_it_joins_and_splits_lines_with(
    decode_data: bool, values: Any
) -> None:
    """Subclasses that handle lines themselves use these names, private as they are."""
    with on_stage(Server, decode_data=decode_data) as stage, stage.connect():
        (channel,) = stage.channels
        assert values == (
            channel._emptystring,
            channel._linesep,
            channel._dotsep,
            channel._newline,
        )


@pytest.mark.filterwarnings("ignore:.*sends text:DeprecationWarning")
def test_text_that_a_channel_sends_is_utf8_only_if_the_client_has_asked_for_it() -> (
    None
):
    class Sends(Channel):
        def smtp_XSAY(self, arg: Any) -> None:
            self.send("250 h\xe9\r\n")

    class Serves(Server):
        channel_class = Sends

    with serving(Serves, enable_SMTPUTF8=True) as server, connected(server) as client:
        assert client.say(b"XSAY") == b"250 h\\xe9\r\n"
        client.say(b"EHLO x")
        assert client.say(b"MAIL FROM:<a@b> BODY=8BITMIME SMTPUTF8") == OK
        assert client.say(b"XSAY") == "250 h\xe9\r\n".encode()


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


def test_received_data_survives_the_transaction_and_not_rset() -> None:
    with on_stage(Server) as stage, stage.connect() as client:
        client.send(b"HELO x\r\n" + MESSAGE)
        for _ in range(5):
            stage.hear(client)
        (channel,) = stage.channels
        assert channel.received_data == b"hello"
        stage.say(client, b"RSET")
        assert not channel.received_data


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


@pytest.mark.parametrize("traced", [[True, False], [False, True]])
@pytest.mark.parametrize("settings", [{}, {"decode_data": True}])
def test_a_message_is_whole_though_the_debug_stream_comes_or_goes_in_it(
    traced: list[bool], settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = {True: io.StringIO(), False: smtpd_compat.DEBUGSTREAM}
    with on_stage(Server, **settings) as stage, stage.connect() as client:
        for line in (b"HELO x", *TRANSACTION, b"DATA"):
            stage.say(client, line)
        (channel,) = stage.channels
        for is_traced, part in zip(traced, (b"one\r\n..two", b"three\r\n\xc3")):
            monkeypatch.setattr(smtpd_compat, "DEBUGSTREAM", streams[is_traced])
            before = channel.num_bytes
            client.send(part)
            stage.until(lambda: channel.num_bytes > before)  # noqa: B023
        client.send(b"\xa9four\r\n.\r\n")
        assert stage.hear(client) == OK
        (message,) = stage.server.messages
    text = "one\n.twothree\n\xe9four"
    assert message.data == (text if settings else text.encode())


def test_the_last_message_is_not_kept_while_the_next_one_arrives() -> None:
    with on_stage(Server) as stage, stage.connect() as client:
        client.send(b"HELO x\r\n" + MESSAGE)
        for _ in range(5):
            stage.hear(client)
        (channel,) = stage.channels
        assert channel.received_data == b"hello"
        client.send(MESSAGE[: MESSAGE.index(b"hello")])
        for _ in range(3):
            stage.hear(client)
        assert channel.received_data == b"hello"
        client.send(b"the next\r\n")
        stage.until(lambda: channel.num_bytes)
        assert not channel.received_data
        client.send(b".\r\n")
        assert stage.hear(client) == OK
        assert channel.received_data == b"the next"


# Transactions


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


# Limits


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
        taken = [message.data for message in stage.server.messages]
        assert taken == ([data] if reply == OK else [])


@pytest.mark.parametrize("decode_data", [False, True])
@pytest.mark.parametrize("fill", [b"x", b"\r", b"\n", b"\r.", b"\xff"])
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
        # What cannot be taken any more is not kept either.
        assert kept_octets(channel) < len(fill) + 5
        client.socket.settimeout(20)
        client.send(b"x\r\n.\r\n")
        assert stage.hear(client) == TOO_MUCH
        assert kept_octets(channel) == 0
        assert stage.say(client, b"NOOP") == OK


class Measures(Server):
    """Notes the size of a message, and keeps nothing else of it."""

    def process_message(self, *args: Any, **kwargs: Any) -> None:
        self.sizes = [len(args[3])]


@pytest.mark.parametrize(
    "line",
    [b"x" * 76 + b"\r\n", b"\r\n", b"..\r\n", b"\r\r\n", b"x" * 998 + b"\r\n", b"\xff"],
)
def test_a_message_costs_at_most_two_and_a_half_times_its_size(line: bytes) -> None:
    tracemalloc = pytest.importorskip(
        "tracemalloc", reason="PyPy has no tracemalloc", exc_type=ImportError
    )
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


# The hand-over, and its reply


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


def test_a_handlers_reply_with_characters_beyond_ascii_leaves_with_escapes() -> None:
    class Answers(Server):
        answers = iter(["250 gr\xfc\xdfe"])

    with serving(Answers) as server, connected(server) as client:
        start_data(client)
        assert client.say(b"x\r\n.") == b"250 gr\\xfc\\xdfe\r\n"


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


@pytest.mark.parametrize("reply", ["250 ok", b"250 ok", bytearray(b"250 ok")])
def test_a_reply_may_be_pushed_as_text_or_as_octets(reply: Any, heard: Any) -> None:
    class Pushes(Channel):
        def smtp_XPUSH(self, arg: Any) -> None:
            self.push(reply)

    class Serves(Server):
        channel_class = Pushes

    assert converse(b"XPUSH", b"NOOP", server=Serves) == [b"250 ok\r\n", OK]
    told = ["as bytes" in str(warning.message) for warning in heard]
    assert told == [True] * (not isinstance(reply, str))


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


@pytest.mark.parametrize(
    "stand_in",
    [mock.Mock(), mock.create_autospec(smtpd_compat.SMTPServer, instance=True)],
)
def test_a_stand_in_for_a_server_may_have_any_attribute(stand_in: Any) -> None:
    stand_in.process_message.return_value = None
    near, far = socket.socketpair()
    with near, far:
        channel = smtpd_compat.SMTPChannel(stand_in, near, ("c", 1), map={})
        far.sendall(b"HELO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\n")
        channel.handle_read()
        assert far.recv(1000).endswith(b"<CR><LF>.<CR><LF>\r\n250 OK\r\n")
        channel.close()
    assert stand_in.process_message.call_args[0][1:] == ("a@b", ["c@d"], b"x")


# Failures


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


# Channels that go their own ways


class _Delegates(Channel):
    def __getattr__(self, name: str) -> Any:
        return getattr(self.smtp_server, name)


class _KnowsEverything(Channel):
    def __getattr__(self, name: str) -> Any:
        return None


class _SetsTheTerminatorFirst(Channel):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.set_terminator(b"\r\n")
        super().__init__(*args, **kwargs)


class _KnowsItsOwn(Channel):
    extras = {"colour": "blue"}

    def __getattr__(self, name: str) -> Any:
        return self.extras[name]


@pytest.mark.parametrize(
    "cls", [_Delegates, _KnowsEverything, _KnowsItsOwn, _SetsTheTerminatorFirst]
)
@LOOPS
def test_a_channel_that_goes_its_own_way_takes_mail(cls: Any, loop: Any) -> None:
    class Serves(Server):
        channel_class = cls
        connection_limit = 2
        idle_timeout = 300

    with serving(Serves, loop=loop) as server, connected(server) as client:
        start_data(client)
        assert client.say(b"x\r\n.") == b"250 OK\r\n"
        assert [message.data for message in server.messages] == [b"x"]
