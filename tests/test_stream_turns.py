"""A connection's turns: output, failures, silence, and the end."""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
import sys
import time

import pytest

import smtpd_compat
from smtpd_compat import asynchat, asyncore
from tests.support.clock import later, tell
from tests.support.conversing import MESSAGE, OK, TRANSACTION, start_data
from tests.support.keeping import Channel, Server, kept_octets
from tests.support.serving import address, serving
from tests.support.talking import PATIENCE, Client, Stage, connected, on_stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

pytestmark = pytest.mark.usefixtures("named_mx_test")

LOOPS = pytest.mark.parametrize("loop", [asyncore.loop, smtpd_compat.loop])


class SendsNothing(Channel):
    """Its send swallows the error of a full buffer, as Mailman's does."""

    def send(self, data: bytes) -> Any:
        if self.smtp_server.is_full:
            return None
        return super().send(data)

    def smtp_VRFY(self, arg: Any) -> None:
        super().smtp_VRFY(arg)


# Output


@LOOPS
def test_a_send_that_returns_none_has_sent_nothing(loop: Any) -> None:
    class Serves(Server):
        channel_class = SendsNothing
        is_full = False

    with on_stage(Serves, loop=loop) as stage, stage.connect() as client:
        stage.server.is_full = True
        client.send(b"NOOP\r\nVRFY\r\nNOOP\r\n")
        (channel,) = stage.channels
        stage.until(lambda: kept_octets(channel) > 2 * len(OK))
        client.send(b"NOOP\r\n")
        stage.turn(3)
        assert not client.has_input()
        stage.server.is_full = False
        replies = [stage.hear(client) for _ in range(4)]
        assert replies == [OK, b"501 Syntax: VRFY <address>\r\n", OK, OK]
        assert stage.server.errors == []


class OverStrictTls(Channel):
    """Its send takes nothing at first, and then the same octets, or more, again.

    So does a non-blocking `ssl.SSLSocket`, which says BAD_LENGTH to less.
    """

    offered = b""
    refusals = 2

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.sizes: list[int] = []
        super().__init__(*args, **kwargs)

    def send(self, data: bytes) -> int:
        self.sizes.append(len(data))
        assert data.startswith(self.offered)
        if self.smtp_server.is_full and self.refusals:
            self.refusals -= 1
            self.offered = data
            return 0
        self.offered = b""
        return super().send(data)


@LOOPS
def test_what_was_not_sent_is_offered_again_in_as_large_a_piece(loop: Any) -> None:
    class Serves(Server):
        channel_class = OverStrictTls
        is_full = False

    with on_stage(Serves, loop=loop) as stage, stage.connect() as client:
        (channel,) = stage.channels
        stage.server.is_full = True
        channel.ac_out_buffer_size = 2 * len(OK)
        client.send(b"NOOP\r\n" * 9)
        assert [stage.hear(client) for _ in range(9)] == [OK] * 9
        assert channel.refusals == 0
        assert channel.sizes[1:] == [2 * len(OK)] * 6 + [len(OK)]
        assert stage.server.errors == []


class WaitsToWrite(Channel):
    """A channel over TLS, which goes on when OpenSSL cannot write for now."""

    waits = 0

    def handle_error(self) -> None:
        if isinstance(sys.exc_info()[1], ssl.SSLWantWriteError):
            self.waits += 1
        else:
            super().handle_error()


@LOOPS
def test_output_stays_when_an_own_handle_error_takes_the_error_of_send(
    loop: Any,
) -> None:
    class RaisesWantWrite(WaitsToWrite):
        refusals = 2

        def send(self, data: bytes) -> int:
            if self.smtp_server.is_full and self.refusals:
                self.refusals -= 1
                raise ssl.SSLWantWriteError(ssl.SSL_ERROR_WANT_WRITE, "not now")
            return super().send(data)

    class Serves(Server):
        channel_class = RaisesWantWrite
        is_full = False

    with on_stage(Serves, loop=loop) as stage, stage.connect() as client:
        stage.server.is_full = True
        client.send(b"NOOP\r\nFOO\r\nNOOP\r\n")
        unknown = b'500 Error: command "FOO" not recognized\r\n'
        assert [stage.hear(client) for _ in range(3)] == [OK, unknown, OK]
        (channel,) = stage.channels
        assert (channel.refusals, channel.waits) == (0, 2)
        assert stage.server.errors == []


class WantsToWrite:
    """A socket over TLS that cannot write for now, so many times."""

    def __init__(self, sock: Any, times: int) -> None:
        self.sock = sock
        self.times = times

    def send(self, data: bytes) -> int:
        if self.times:
            self.times -= 1
            raise ssl.SSLWantWriteError(ssl.SSL_ERROR_WANT_WRITE, "not now")
        return int(self.sock.send(data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sock, name)


@LOOPS
def test_output_that_must_wait_is_out_before_the_connection_ends(loop: Any) -> None:
    class Serves(Server):
        channel_class = WaitsToWrite

    with on_stage(Serves, loop=loop) as stage, stage.connect() as client:
        (channel,) = stage.channels
        channel.socket = WantsToWrite(channel.socket, 3)
        client.send(b"NOOP\r\nQUIT\r\n")
        assert stage.rest(client) == OK + b"221 Bye\r\n"
        assert channel.waits == 3
        assert stage.server.errors == []


@LOOPS
def test_output_that_is_taken_bit_by_bit_is_out_before_the_connection_ends(
    loop: Any,
) -> None:
    class Sips(Channel):
        def send(self, data: Any) -> int:
            return super().send(data[:3])

    class Serves(Server):
        channel_class = Sips

    with on_stage(Serves, loop=loop) as stage, Client(address(stage.server)) as client:
        client.send(b"NOOP\r\nQUIT\r\n")
        banner = f"220 {smtpd_compat.socket.getfqdn()} {smtpd_compat.__version__}\r\n"
        wanted = banner.encode() + OK + b"221 Bye\r\n"
        assert stage.octets(client, len(wanted)) == wanted
        assert stage.rest(client) == b""
        assert stage.server.errors == []


@LOOPS
def test_a_hook_that_fails_after_output_that_must_wait_has_not_replied(
    loop: Any,
) -> None:
    class Fails(Channel):
        failures: tuple[str, ...] = ()

        def smtp_XFAIL(self, arg: Any) -> None:
            raise KeyError(arg)

        def handle_error(self) -> None:
            self.failures += (type(sys.exc_info()[1]).__name__,)

    class Serves(Server):
        channel_class = Fails

    with on_stage(Serves, loop=loop) as stage, stage.connect() as client:
        (channel,) = stage.channels
        channel.socket = WantsToWrite(channel.socket, 1)
        client.send(b"NOOP\r\nXFAIL\r\nNOOP\r\n")
        codes = [stage.hear(client)[:3] for _ in range(3)]
        assert codes == [b"250", b"451", b"250"]
        assert channel.failures == ("SSLWantWriteError", "KeyError")


@LOOPS
@pytest.mark.parametrize("takes", [True, False])
def test_a_producer_among_the_lines_of_a_reply_is_sent_in_its_place(
    takes: bool, loop: Any
) -> None:
    class Produces(Channel):
        takes = True

        def smtp_XLIST(self, arg: Any) -> None:
            self.push("250-first")
            self.push_with_producer(asynchat.simple_producer(b"250-second\r\n"))
            self.push("250 third")
            self.takes = self.takes or bool(arg)

        def send(self, data: Any) -> int:
            return super().send(data) if self.takes else 0

    class Serves(Server):
        channel_class = Produces

    with on_stage(Serves, loop=loop) as stage, stage.connect() as client:
        stage.channels[0].takes = takes
        client.send(b"NOOP\r\nXLIST\r\nXLIST takes\r\nNOOP\r\n")
        reply = b"250-first\r\n250-second\r\n250 third\r\n"
        wanted = OK + reply + reply + OK
        assert stage.octets(client, len(wanted)) == wanted
        assert not client.has_input()
        assert stage.server.errors == []


def test_what_was_sent_before_an_error_of_send_is_not_sent_again() -> None:
    class Falters(WaitsToWrite):
        sends = 0

        def send(self, data: bytes) -> int:
            self.sends += 1
            if self.smtp_server.is_full and self.sends in (2, 3):
                raise ssl.SSLWantWriteError(ssl.SSL_ERROR_WANT_WRITE, "not now")
            return super().send(data)

    class Serves(Server):
        channel_class = Falters
        is_full = False

    with on_stage(Serves) as stage, stage.connect() as client:
        stage.channels[0].sends = 0
        stage.channels[0].ac_out_buffer_size = 10
        stage.server.is_full = True
        client.send(b"NOOP\r\nFOO\r\nNOOP\r\n")
        unknown = b'500 Error: command "FOO" not recognized\r\n'
        replies = OK + unknown + OK
        heard = b""
        while len(heard) < len(replies):
            stage.until(client.has_input)
            heard += client.socket.recv(1000)
        assert heard == replies
        assert stage.say(client, b"NOOP") == OK
        assert stage.server.errors == []


def test_pipelined_commands_are_answered_in_order() -> None:
    with on_stage(Server) as stage, stage.connect() as client:
        client.send(b"EHLO x\r\n" + MESSAGE + b"NOOP\r\nFOO\r\nQUIT\r\n")
        heard = stage.rest(client)
    codes = [line[:4] for line in heard.splitlines()]
    assert codes == (
        [b"250-"] * 3 + [b"250 "] * 3 + [b"354 ", b"250 ", b"250 ", b"500 ", b"221 "]
    )


def test_the_replies_to_what_came_together_leave_in_one_segment_at_once() -> None:
    """Several would wait for each other's acknowledgements (Nagle's algorithm)."""

    class CountsSegments(Channel):
        segments = 0

        def send(self, data: bytes) -> int:
            self.segments += 1
            return super().send(data)

        def smtp_VRFY(self, arg: Any) -> None:
            super().smtp_VRFY(arg)

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
        # A command of a subclass's own counts on what was said before being out.
        channel.segments = 0
        client.send(b"NOOP\r\nNOOP\r\nVRFY x\r\nNOOP\r\nNOOP\r\n")
        codes = [stage.hear(client)[:3] for _ in range(5)]
        assert codes == [b"250", b"250", b"252", b"250", b"250"]
        assert channel.segments == 3
        channel.segments = 0
        assert stage.say(client, b"QUIT") == b"221 Bye\r\n"
        assert (stage.rest(client), channel.segments) == (b"", 1)


@LOOPS
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


@LOOPS
@pytest.mark.parametrize("over", [0, 1])
def test_a_client_is_not_read_from_while_more_than_a_mebibyte_waits(
    over: int, loop: Any
) -> None:
    class Bulky(Channel):
        takes = True

        def smtp_XBULK(self, arg: Any) -> None:
            self.takes = False
            self.push("250 ".ljust((1 << 20) + over - len("\r\n"), "x"))

        def send(self, data: Any) -> int:
            return super().send(data) if self.takes else 0

    class Serves(Server):
        channel_class = Bulky

    with on_stage(Serves, loop=loop) as stage, stage.connect() as client:
        (channel,) = stage.channels
        client.send(b"XBULK\r\n")
        stage.until(lambda: channel.producer_fifo)
        stage.turn(2)
        assert kept_octets(channel) == (1 << 20) + over
        assert channel.readable() is (not over)


@LOOPS
def test_a_client_that_has_read_all_at_last_is_heard_again(loop: Any) -> None:
    class Bulky(Channel):
        def smtp_XBULK(self, arg: Any) -> None:
            self.push("250 " + "x" * size)

    class Serves(Server):
        channel_class = Bulky

    size = 8 << 20
    with on_stage(Serves, loop=loop) as stage, stage.connect() as client:
        client.send(b"XBULK\r\n")
        stage.until(lambda: not stage.channels[0].readable())
        heard = 0
        while heard < size + len(b"250 \r\n"):
            stage.until(client.has_input)
            heard += len(client.socket.recv(1 << 20))
        stage.turn(timeout=0.01)
        assert stage.say(client, b"NOOP") == OK


@LOOPS
def test_a_client_that_takes_all_in_one_go_at_last_is_heard_again(loop: Any) -> None:
    class Bulky(Channel):
        ac_out_buffer_size = 1 << 24
        takes = True

        def smtp_XBULK(self, arg: Any) -> None:
            self.takes = False
            self.push("250 " + "x" * (2 << 20))

        def send(self, data: Any) -> int:
            """Nothing, or all; the client hears the end of it."""
            if self.takes:
                super().send(data[-99:])
            return len(data) if self.takes else 0

    class Serves(Server):
        channel_class = Bulky

    with on_stage(Serves, loop=loop) as stage, stage.connect() as client:
        (channel,) = stage.channels
        client.send(b"XBULK\r\n")
        stage.until(lambda: channel.producer_fifo)
        stage.turn(2)
        client.send(b"NOOP\r\n")
        channel.takes = True
        stage.until(client.has_input)
        assert client.line() == b"x" * 97 + b"\r\n"
        assert stage.hear(client) == OK


# Failures


def test_each_of_two_pipelined_failures_is_answered() -> None:
    class Fails(Server):
        answers = iter([ValueError("1"), ValueError("2")])

    with serving(Fails) as server, connected(server) as client:
        client.send(b"HELO x\r\n" + MESSAGE * 2 + b"NOOP\r\nQUIT\r\n")
        assert client.codes() == (
            [b"250"] + [b"250", b"250", b"354", b"451"] * 2 + [b"250", b"221"]
        )
    assert len(server.errors) == 2


@LOOPS
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


@LOOPS
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


@pytest.mark.parametrize("hook", ["found_terminator", "collect_incoming_data"])
def test_with_hooks_of_ones_own_replies_leave_as_they_are_pushed(hook: str) -> None:
    sent: list[bytes] = []

    class Hooked(Channel):
        def send(self, data: bytes) -> int:
            sent.append(data)
            return super().send(data)

    ours = getattr(Channel, hook)
    setattr(Hooked, hook, lambda self, *args: ours(self, *args))

    class Serves(Server):
        channel_class = Hooked

    with on_stage(Serves) as stage, stage.connect() as client:
        sent.clear()
        client.send(b"HELO x\r\nNOOP\r\n")
        stage.hear(client)
        stage.hear(client)
    assert sent == [b"250 mx.test\r\n", OK]


def test_replies_leave_as_they_are_pushed_once_the_client_reads_again() -> None:
    class Talks(Channel):
        takes = 1 << 20

        def smtp_XTALK(self, arg: Any) -> None:
            self.push("250 talking")
            left.append(not self.producer_fifo)

        def send(self, data: Any) -> int:
            return super().send(data[: self.takes])

    class Serves(Server):
        channel_class = Talks

    left: list[bool] = []
    with on_stage(Serves) as stage, stage.connect() as client:
        (channel,) = stage.channels
        assert stage.say(client, b"XTALK") == b"250 talking\r\n"
        channel.takes = 3
        client.send(b"NOOP\r\n")
        stage.until(client.has_input)
        channel.takes = 1 << 20
        stage.until(lambda: not channel.producer_fifo)
        assert stage.hear(client) == OK
        assert stage.say(client, b"XTALK") == b"250 talking\r\n"
    assert left == [True, True]


@pytest.mark.parametrize("error", [asyncore.ExitNow, KeyboardInterrupt, SystemExit])
def test_what_leaves_the_loop_by_intent_leaves_it_from_the_answer_to_a_failure_too(
    error: type[BaseException],
) -> None:
    class Leaves(Channel):
        def smtp_XFAIL(self, arg: Any) -> None:
            raise ValueError("a mistake")

        def push(self, msg: Any) -> None:
            if msg.startswith("451"):
                raise error("enough")
            super().push(msg)

    class Serves(Server):
        channel_class = Leaves

    with on_stage(Serves) as stage, stage.connect() as client:
        client.send(b"XFAIL\r\n")
        with pytest.raises(error):
            stage.turn(5, timeout=1)


def test_to_send_when_there_is_nothing_to_send_is_no_error() -> None:
    class Eager(Channel):
        def smtp_XSEND(self, arg: Any) -> None:
            self.initiate_send()
            self.push("250 sent")
            self.initiate_send()

    class Serves(Server):
        channel_class = Eager

    with on_stage(Serves) as stage, stage.connect() as client:
        assert stage.say(client, b"XSEND") == b"250 sent\r\n"
        assert stage.say(client, b"NOOP") == OK
        assert stage.server.errors == []


def test_a_farewell_that_fails_after_it_was_said_is_not_followed_by_another() -> None:
    class Leaves(Channel):
        def smtp_HELO(self, arg: Any) -> None:
            self.push_with_producer(asynchat.simple_producer(b"554 not you\r\n"))
            self.close_when_done()

        def smtp_XLEAVE(self, arg: Any) -> None:
            self.push("221 leaving")
            self.close_when_done()
            raise ValueError("a mistake")

        def smtp_XPRODUCE(self, arg: Any) -> None:
            self.push("250 all of it:")
            self.push_with_producer(asynchat.simple_producer(b"250 it\r\n"))
            raise ValueError("a mistake")

    class Serves(Server):
        channel_class = Leaves

    with on_stage(Serves) as stage:
        with stage.connect() as client:
            assert stage.say(client, b"HELO you") == b"554 not you\r\n"
            assert stage.rest(client) == b""
        assert stage.server.errors == []
        with stage.connect() as client:
            client.send(b"XLEAVE\r\n")
            assert stage.rest(client) == b"221 leaving\r\n"
        with stage.connect() as client:
            client.send(b"XPRODUCE\r\n")
            assert [line[:3] for line in stage.rest(client).splitlines()] == [
                b"250",
                b"250",
                b"421",
            ]


# The end, as this side wants it


@pytest.mark.parametrize(
    "after", [b"NOOP\r\n", MESSAGE, b"QUIT\r\n", b"x" * 1000, b"\xff\r\n"]
)
def test_nothing_after_quit_is_acted_on(after: bytes) -> None:
    with serving(Server) as server, connected(server) as client:
        client.send(b"HELO x\r\nQUIT\r\n" + after)
        assert client.rest() == b"250 mx.test\r\n221 Bye\r\n"
    assert server.messages == []


@LOOPS
def test_nothing_after_quit_is_kept_while_the_reply_waits(loop: Any) -> None:
    class Serves(Server):
        channel_class = SendsNothing
        is_full = False

    with on_stage(Serves, loop=loop) as stage, stage.connect() as client:
        (channel,) = stage.channels
        stage.server.is_full = True
        client.send(b"QUIT\r\n" + MESSAGE)
        stage.until(lambda: channel.producer_fifo)
        for _ in range(3):
            client.send(MESSAGE)
            stage.turn(2, timeout=0.01)
            assert channel.ac_in_buffer == b""
        stage.server.is_full = False
        assert stage.rest(client) == b"221 Bye\r\n"


def test_nothing_after_a_plain_close_is_acted_on() -> None:
    class Closes(Channel):
        def smtp_XCLOSE(self, arg: Any) -> None:
            self.close()

    class Serves(Server):
        channel_class = Closes

    with serving(Serves) as server, connected(server) as client:
        client.send(b"HELO x\r\nXCLOSE\r\n" + MESSAGE)
        assert client.rest() == b"250 mx.test\r\n"
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


# Clients that go


def test_a_client_that_ends_its_side_gets_all_replies() -> None:
    with serving(Server) as server, connected(server) as client:
        client.send(b"HELO x\r\n" + MESSAGE)
        client.no_more()
        assert client.codes() == [b"250", b"250", b"250", b"354", b"250"]
    assert len(server.messages) == 1


@pytest.mark.parametrize("end", ["close", "vanish", "no_more"])
@LOOPS
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
@LOOPS
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


@LOOPS
@pytest.mark.parametrize("error", [BlockingIOError, ValueError])
def test_a_recv_of_ones_own_that_raises_something_else_says_421_and_closes(
    loop: Any, error: type[Exception]
) -> None:
    """Nobody knows what was lost.  One that has nothing after all is no failure."""

    class Decrypts(Channel):
        failures = 1

        def recv(self, buffer_size: int) -> bytes:
            data = super().recv(buffer_size)
            if data.startswith(b"FOO") and self.failures:
                self.failures -= 1
                raise error("no such record")
            return data

        def smtp_XQUIET(self, arg: Any) -> None:
            self.was_quiet = True

    class Serves(Server):
        channel_class = Decrypts

    with on_stage(Serves, loop=loop) as stage, stage.connect() as client:
        (channel,) = stage.channels
        client.send(b"XQUIET\r\n")  # which gets no reply
        stage.until(lambda: hasattr(channel, "was_quiet"))
        if error is ValueError:
            client.send(b"FOO\r\n")
            assert stage.rest(client).startswith(b"421 Error: local error")
            (logged,) = stage.server.errors
            assert "keeping channel" in logged and "no such record" in logged
        else:
            client.send(b"FOO\r\n")
            stage.until(lambda: not stage.channels[0].failures)
            assert stage.server.errors == []
            assert stage.say(client, b"NOOP") == OK


@LOOPS
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
        client.socket.send(b"!", socket.MSG_OOB)
        stage.turn(2, timeout=0.01)
        before = time.monotonic()
        stage.turn(timeout=0.1)
        assert time.monotonic() - before > 0.08


def test_an_urgent_octet_that_is_gone_already_is_no_error() -> None:
    with on_stage(Server) as stage, stage.connect() as client:
        stage.channels[0].handle_expt()
        assert stage.say(client, b"NOOP") == OK
        assert stage.server.errors == []


def test_an_urgent_octet_costs_none_of_a_commands() -> None:
    with on_stage(Server) as stage, stage.connect() as client:
        (channel,) = stage.channels
        client.send(b"NO")
        client.socket.send(b"!", socket.MSG_OOB)
        client.send(b"OP\r\n")
        channel.socket.settimeout(PATIENCE)
        assert channel.socket.recv(1, socket.MSG_PEEK) == b"N"
        channel.handle_expt()
        channel.socket.setblocking(False)
        assert stage.hear(client) == OK
        assert stage.server.errors == []


# Silence


FAREWELL = b"421 Error: timeout exceeded, closing connection\r\n"


class Patient(Server):
    idle_timeout = 300


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
def test_a_silent_client_is_left_when_its_time_is_over_and_not_before(
    loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    tell(monkeypatch, lambda: now[0])
    with on_stage(Patient, loop=loop) as stage, stage.connect() as client:
        assert stage.say(client, b"NOOP") == OK
        for now[0] in (1299.0, 1300.0):
            assert not client.has_input()
            stage.turn(3)
        assert stage.rest(client) == FAREWELL


@LOOPS
def test_a_client_that_quits_and_takes_no_replies_is_closed(
    loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with on_stage(Patient, loop=loop) as stage, stage.connect() as client:
        (channel,) = stage.channels
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        channel.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        client.send(b"HELP\r\n" * 10_000 + b"QUIT\r\n")
        stage.until(lambda: channel._smtpd.is_finished)
        stage.turn(3)
        later(monkeypatch, 299)
        stage.turn(3)
        assert stage.channels == [channel]
        later(monkeypatch, 302)
        stage.turn(3)
        assert stage.channels == []


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
        later(monkeypatch, 599)
        stage.turn(3)
        # The farewell has as long to be taken as the client had to say something.
        assert len(stage.channels) == (not vanished)
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


@LOOPS
@pytest.mark.parametrize("others", [0, 1])
def test_clients_of_a_closed_server_time_out_and_the_loop_ends(
    loop: Any, others: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.ExitStack() as cleanup:
        stage = cleanup.enter_context(on_stage(Patient, loop=loop))
        servers = [stage.server]
        for _ in range(others):
            servers.append(Patient(("127.0.0.1", 0), None, map=stage.map))
        clients = [
            cleanup.enter_context(Stage(server, stage.map, loop).connect())
            for server in servers
            for _ in range(3)
        ]
        for server in servers:
            server.close()
        stage.turn(2)
        later(monkeypatch, 299)
        stage.turn(3)
        assert len(stage.channels) == len(clients)
        assert not any(client.has_input() for client in clients)
        later(monkeypatch, 302)
        loop(timeout=PATIENCE, map=stage.map)
        assert stage.map == {}
        assert [client.rest() for client in clients] == [FAREWELL] * len(clients)


@LOOPS
def test_a_closed_server_leaves_the_map_to_others_with_its_last_client(
    loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with on_stage(Server, loop=loop) as stage, stage.connect() as client:
        for _ in range(3):
            closes = Patient(("127.0.0.1", 0), None, map=stage.map)
            with Stage(closes, stage.map, loop).connect() as leaves:
                closes.close()
                closes.close()
                stage.say(leaves, b"QUIT")
        later(monkeypatch, 302)
        stage.turn(3)
        assert sorted(map(type, stage.map.values()), key=str) == [Channel, Server]
        assert stage.say(client, b"NOOP") == OK


class Plain(asynchat.async_chat):
    """A conversation of somebody's own, which times itself, and tells of no end."""

    def __init__(self, server: Any, conn: Any, addr: Any, *args: Any, **_: Any) -> None:
        super().__init__(conn, map=server._map)
        self.smtp_server = server
        self.set_terminator(b"\r\n")
        self.push(b"220 plain\r\n")

    def collect_incoming_data(self, data: bytes) -> None:
        pass

    def found_terminator(self) -> None:
        self.push(b"250 still here\r\n")


@LOOPS
def test_a_channel_of_another_class_is_not_left_and_lets_the_loop_end(
    loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Serves(Patient):
        channel_class = Plain

    with on_stage(Serves, loop=loop) as stage, stage.connect() as client:
        for seconds in (400, 800):
            later(monkeypatch, seconds)
            assert stage.say(client, b"NOOP") == b"250 still here\r\n"
            stage.server.close()
        client.close()
        stage.until(lambda: not stage.channels)
        later(monkeypatch, 900)
        loop(timeout=0.01, map=stage.map)
        assert stage.map == {}
        assert stage.server.errors == []


@LOOPS
def test_clients_that_a_server_accepts_by_itself_time_out_after_it_has_closed(
    loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Accepts(Patient):
        def handle_accept(self) -> None:
            self.handle_accepted(*self.socket.accept())

    with on_stage(Accepts, loop=loop) as stage:
        with stage.connect() as first, stage.connect() as client:
            stage.server.close()
            assert stage.say(first, b"QUIT") == b"221 Bye\r\n"
            stage.until(lambda: len(stage.channels) == 1)
            later(monkeypatch, 302)
            assert stage.rest(client) == FAREWELL
        loop(timeout=0.01, map=stage.map)
        assert stage.map == {}


def test_closing_each_that_is_in_the_map_empties_it() -> None:
    with on_stage(Patient) as stage, stage.connect():
        stage.server.close()
        entries = list(stage.map.values())
        assert len(entries) == 2  # with what takes leave of the idle
        for entry in entries * 2:
            entry.close()
        assert stage.map == {}


def test_time_is_not_limited_unless_a_class_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with on_stage(Server) as stage, stage.connect() as client:
        later(monkeypatch, 1e9)
        stage.turn(3)
        assert stage.say(client, b"NOOP") == OK


# A program's own initiate_send


class Gate(Channel):
    """Sends nothing until it is opened, as one that waits for a TLS handshake."""

    is_open = False

    def initiate_send(self) -> None:
        self.seen = [*getattr(self, "seen", ()), list(self.producer_fifo)]
        if self.is_open:
            super().initiate_send()

    def smtp_NOOP(self, arg: Any) -> None:
        super().smtp_NOOP(arg)


class Gated(Server):
    channel_class = Gate


@LOOPS
def test_an_initiate_send_of_ones_own_holds_every_reply_back(loop: Any) -> None:
    with on_stage(Gated, loop=loop) as stage, Client(address(stage.server)) as client:
        stage.until(lambda: stage.channels)
        client.send(b"NOOP\r\nNOOP\r\n")
        (channel,) = stage.channels
        stage.until(lambda: channel.producer_fifo.count(OK) == 2)
        assert not client.has_input()
        channel.is_open = True
        assert [stage.hear(client)[:4] for _ in range(3)] == [b"220 ", b"250 ", b"250 "]
        client.send(b"QUIT\r\n")
        assert stage.rest(client) == b"221 Bye\r\n"


class Notes(Gate):
    is_open = True


@LOOPS
def test_an_initiate_send_of_ones_own_hears_of_each_line(loop: Any) -> None:
    class Noted(Server):
        channel_class = Notes

    with on_stage(Noted, loop=loop) as stage, stage.connect() as client:
        (channel,) = stage.channels
        channel.seen = []
        client.send(b"EHLO x\r\nNOOP\r\n")
        said = [stage.hear(client), stage.hear(client)]
        seen = [piece for fifo in channel.seen for piece in fifo]
        assert seen == b"".join(said).splitlines(keepends=True)


@LOOPS
def test_an_initiate_send_assigned_on_a_channel_takes_effect(loop: Any) -> None:
    with on_stage(Server, loop=loop) as stage, stage.connect() as client:
        (channel,) = stage.channels
        ours = channel.initiate_send
        held = []
        channel.initiate_send = lambda: held.append(len(channel.producer_fifo))
        client.send(b"NOOP\r\n")
        stage.until(lambda: held)
        assert not client.has_input()
        channel.initiate_send = ours
        assert stage.hear(client) == OK


@pytest.mark.parametrize("name", ["push", "initiate_send"])
@LOOPS
def test_what_is_patched_into_asynchat_hears_of_each_line(
    name: str, loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Any] = []
    theirs = getattr(asynchat.async_chat, name)

    def patched(self: Any, *args: Any) -> None:
        heard.extend(args or self.producer_fifo)
        theirs(self, *args)

    monkeypatch.setattr(asynchat.async_chat, name, patched)
    with on_stage(Server, loop=loop) as stage, stage.connect() as client:
        heard.clear()
        said = stage.say(client, b"EHLO x")
        assert heard == said.splitlines(keepends=True)
