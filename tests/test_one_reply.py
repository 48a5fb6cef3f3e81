"""A command gets one reply, also where a program's own code fails after it."""

from __future__ import annotations

import asyncio
import errno
import smtplib
import threading
from typing import Any

import pytest

import smtpd_compat
from smtpd_compat import asynchat
from tests.support.conversing import FAILED, GO_ON, MESSAGE, OK
from tests.support.keeping import Channel, Server
from tests.support.loops import LOOPS
from tests.support.serving import address, serving
from tests.support.talking import PATIENCE, connected, on_stage

FAREWELL = b"421 Error: local error in processing, closing connection\r\n"


class Full(OSError):
    """The program's own log is full."""

    def __init__(self) -> None:
        # Up to Python 3.9, asyncore looks for the number in an OSError's arguments.
        super().__init__(errno.ENOSPC, "No space left on device")


class AfterRcpt(Channel):
    def smtp_RCPT(self, arg: Any) -> None:
        super().smtp_RCPT(arg)
        raise Full


class AfterData(Channel):
    def smtp_DATA(self, arg: Any) -> None:
        super().smtp_DATA(arg)
        raise Full


class InAReply(Channel):
    """It fails before the last line of its reply."""

    def smtp_RCPT(self, arg: Any) -> None:
        self.push("250-first")
        raise Full


class OwnCommand(Channel):
    def smtp_RCPT(self, arg: Any) -> None:
        self.push("250 OK")
        raise Full


class PushesBytes(Channel):
    def smtp_RCPT(self, arg: Any) -> None:
        smtpd_compat.asynchat.async_chat.push(self, b"250 OK\r\n")
        raise Full


class SendsBytes(Channel):
    def smtp_RCPT(self, arg: Any) -> None:
        self.send(b"250 OK\r\n")
        raise Full


class PushesByASendOfItsOwn(Channel):
    def push(self, msg: str) -> None:
        self.send(msg.encode() + b"\r\n")

    def smtp_RCPT(self, arg: Any) -> None:
        super().smtp_RCPT(arg)
        raise Full


class PushesAProducer(Channel):
    def smtp_RCPT(self, arg: Any) -> None:
        self.push_with_producer(asynchat.simple_producer(b"250 OK\r\n"))
        raise Full


class AfterTheCommand(Channel):
    """Its hook fails after the command that it has run."""

    def found_terminator(self) -> None:
        is_rcpt = self.received_lines[:1] == [b"RCPT TO:<c@d>"]
        super().found_terminator()
        if is_rcpt:
            raise Full


class AfterTheMessage(Channel):
    """Its hook fails after the message that it has handed over."""

    def found_terminator(self) -> None:
        is_message = self.smtp_state == self.DATA
        super().found_terminator()
        if is_message:
            raise Full


class InALine(Channel):
    """Its hook answers a line that is not complete, and fails."""

    def collect_incoming_data(self, data: bytes) -> None:
        super().collect_incoming_data(data)
        if data.startswith(b"RCPT"):
            self.push("250 OK")
            raise Full


class AfterALine(Channel):
    """One of its hooks answers a line, and the other fails."""

    def collect_incoming_data(self, data: bytes) -> None:
        super().collect_incoming_data(data)
        if data.startswith(b"RCPT"):
            self.push("250 OK")

    def found_terminator(self) -> None:
        if self.received_lines[:1] == [b"RCPT TO:<c@d>"]:
            raise Full
        super().found_terminator()


class BeforeTheCommand(Channel):
    """Its hook begins the reply, and its command fails."""

    def found_terminator(self) -> None:
        if self.received_lines[:1] == [b"RCPT TO:<c@d>"]:
            self.push("250-first")
        super().found_terminator()

    def smtp_RCPT(self, arg: Any) -> None:
        raise Full


class Pushes(Server):
    """A handler that replies by itself, and fails."""

    channel: Any = None

    def handle_accepted(self, conn: Any, addr: Any) -> None:
        super().handle_accepted(conn, addr)
        (self.channel,) = (ch for ch in self._map.values() if isinstance(ch, Channel))

    def process_message(self, *args: Any, **kwargs: Any) -> Any:
        super().process_message(*args, **kwargs)
        self.channel.push("250 OK")
        raise Full


def with_channel(channel: Any, server: Any = Server, **names: Any) -> Any:
    return type("Serves", (server,), {"channel_class": channel, **names})


FAILING = {
    "AfterRcpt": (with_channel(AfterRcpt), [OK, OK]),
    "AfterData": (with_channel(AfterData), [OK, OK, GO_ON]),
    "InAReply": (with_channel(InAReply), [OK, b"250-first\r\n" + FAREWELL]),
    "OwnCommand": (with_channel(OwnCommand), [OK, OK]),
    "PushesBytes": (with_channel(PushesBytes), [OK, OK]),
    "SendsBytes": (with_channel(SendsBytes), [OK, OK]),
    "PushesByASendOfItsOwn": (with_channel(PushesByASendOfItsOwn), [OK, OK]),
    "PushesAProducer": (with_channel(PushesAProducer), [OK, OK]),
    "AfterTheCommand": (with_channel(AfterTheCommand), [OK, OK]),
    "AfterTheMessage": (with_channel(AfterTheMessage), [OK, OK, GO_ON, OK]),
    "InALine": (with_channel(InALine), [OK, OK]),
    "AfterALine": (with_channel(AfterALine), [OK, OK]),
    "BeforeTheCommand": (
        with_channel(BeforeTheCommand),
        [OK, b"250-first\r\n" + FAREWELL],
    ),
    "Pushes": (with_channel(Channel, Pushes), [OK, OK, GO_ON, OK]),
}


@pytest.mark.parametrize("who", FAILING)
@pytest.mark.parametrize("in_one_segment", [True, False])
@LOOPS
def test_who_fails_after_a_reply_says_421_and_closes(
    who: str, in_one_segment: bool, loop: Any
) -> None:
    """A second reply would be taken for that of the next command."""
    server, replies = FAILING[who]
    with serving(server, loop=loop) as running, connected(running) as client:
        assert client.say(b"HELO x").startswith(b"250")
        heard = b""
        if in_one_segment:
            client.send(MESSAGE + b"NOOP\r\n")
        else:
            lines = [b"MAIL FROM:<a@b>", b"RCPT TO:<c@d>", b"DATA", b"hello\r\n."]
            for line in lines[: len(replies)]:
                heard += client.say(line)
        heard += client.rest()
        expected = b"".join(replies)
        if not expected.endswith(FAREWELL):
            expected += FAREWELL
        assert heard == expected
        assert len(running.errors) == 1
        assert len(running.messages) == replies[2:].count(OK)


def test_a_failure_before_the_reply_is_answered_after_commands_that_were() -> None:
    class Fails(Channel):
        def smtp_RSET(self, arg: Any) -> None:
            raise Full

    with serving(with_channel(Fails)) as server, connected(server) as client:
        client.send(b"NOOP\r\nRSET\r\nNOOP\r\n")
        assert client.replies(3) == [OK, FAILED, OK]


def test_a_handle_read_of_ones_own_that_fails_before_it_reads_closes() -> None:
    """Nobody has asked: the reply to what is read later would be a second one."""

    class Fails(Channel):
        fails = True

        def handle_read(self) -> None:
            if self.fails:
                self.fails = False
                raise Full
            super().handle_read()

    with serving(with_channel(Fails)) as server, connected(server) as client:
        client.send(b"NOOP\r\n")
        assert client.rest() == FAREWELL


@pytest.mark.parametrize("rest", [b"", b"NO", b"NOOP\r"])
def test_a_handle_read_of_ones_own_that_fails_after_it_has_read_closes(
    rest: bytes,
) -> None:
    """Each line has had its reply, and the last one is not complete."""

    class Fails(Channel):
        def handle_read(self) -> None:
            super().handle_read()
            raise Full

    with serving(with_channel(Fails)) as server, connected(server) as client:
        client.send(b"NOOP\r\n" + rest)
        assert client.rest() == OK + FAREWELL


@pytest.mark.parametrize("error", [asyncio.CancelledError, GeneratorExit])
@pytest.mark.parametrize("threads", [0, 1])
@LOOPS
def test_what_is_no_exception_is_answered_as_one(
    error: type[BaseException], threads: int, loop: Any
) -> None:
    """But for those that leave the loop, it is a failure of the handler."""
    answers = iter([error(), None])
    server = with_channel(Channel, worker_threads=threads, answers=answers)
    with serving(server, loop=loop) as running, connected(running) as client:
        client.send(b"HELO x\r\n" + MESSAGE + MESSAGE)
        replies = client.replies(9)
        assert replies[4:] == [FAILED, OK, OK, GO_ON, OK]
        assert len(running.errors) == 1


class BeforeItCloses(Channel):
    def close(self) -> None:
        raise Full


class AfterItCloses(Channel):
    def close(self) -> None:
        super().close()
        raise Full


class CannotClose(Channel):
    def handle_close(self) -> None:
        raise Full


@pytest.mark.parametrize("channel", [BeforeItCloses, AfterItCloses, CannotClose])
@LOOPS
def test_a_close_of_ones_own_that_fails_ends_no_loop(channel: Any, loop: Any) -> None:
    with on_stage(with_channel(channel), loop=loop) as stage:
        for farewell in (b"QUIT\r\n", b""):
            with stage.connect() as client:
                if farewell:
                    client.send(farewell)
                else:
                    client.close()
                stage.until(lambda: not stage.channels)
        assert len(stage.server.errors) >= 2


@pytest.mark.parametrize("channel", [BeforeItCloses, AfterItCloses, CannotClose])
@LOOPS
def test_a_close_of_ones_own_that_fails_ends_no_loop_for_the_idle(
    channel: Any, loop: Any
) -> None:
    server = with_channel(channel, idle_timeout=0.0)
    with on_stage(server, loop=loop) as stage, stage.connect() as client:
        stage.until(lambda: not stage.channels)
        assert b"421 Error: timeout exceeded" in client.rest()


def test_who_has_closed_and_fails_is_told_nothing_more() -> None:
    said: list[Any] = []

    class Closes(Channel):
        def push(self, msg: Any) -> None:
            said.append(msg)
            super().push(msg)

        def smtp_XCLOSE(self, arg: Any) -> None:
            self.close()
            raise Full

    with serving(with_channel(Closes)) as server, connected(server) as client:
        said.clear()
        client.send(b"XCLOSE\r\nNOOP\r\n")
        assert client.rest() == b""
    assert (said, len(server.errors)) == ([], 1)


def test_smtplib_is_told_of_no_failure_for_a_message_that_was_taken() -> None:
    with serving(with_channel(AfterTheMessage)) as server:
        with smtplib.SMTP(*address(server), timeout=PATIENCE) as client:
            assert client.sendmail("a@b", ["c@d"], "first") == {}
            with pytest.raises(smtplib.SMTPException):
                client.sendmail("a@b", ["c@d"], "second")
        assert [message.data for message in server.messages] == [b"first"]


# With a handle_error of one's own


class KeepsQuiet:
    handled = 0

    def handle_error(self) -> None:
        self.handled += 1


class Replies:
    def handle_error(self) -> None:
        self.push("451 caught")  # type: ignore[attr-defined]


class Closes:
    def handle_error(self) -> None:
        self.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "own, heard",
    [(KeepsQuiet, FAREWELL), (Replies, b"451 caught\r\n"), (Closes, b"")],
)
@LOOPS
def test_a_handle_error_of_ones_own_has_its_say_and_the_connection_is_closed(
    own: Any, heard: bytes, loop: Any
) -> None:
    channel = type("Own", (own, AfterRcpt), {})
    with on_stage(with_channel(channel), loop=loop) as stage:
        with stage.connect() as client:
            stage.say(client, b"HELO x")
            client.send(MESSAGE)
            assert stage.rest(client) == OK + OK + heard
            assert stage.server.messages == []


# While somebody else has the message


class Waits(Server):
    """Its handler waits, on a worker's thread, until the test lets it go on."""

    worker_threads = 1

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.may_end = threading.Event()
        super().__init__(*args, **kwargs)

    def process_message(self, *args: Any, **kwargs: Any) -> Any:
        assert self.may_end.wait(PATIENCE)
        return super().process_message(*args, **kwargs)


class AnswersAtOnce(Server):
    """It has the answer before it says that it has taken the message."""

    def _smtpd_take_message(self, call: Any, message: Any, answered: Any) -> bool:
        answered(call)
        return True


@pytest.mark.parametrize("own", [object, KeepsQuiet])
@pytest.mark.parametrize(
    "answer, reply", [(None, OK), ("250 taken", b"250 taken\r\n"), (Full(), FAILED)]
)
@LOOPS
def test_a_hook_that_fails_while_a_worker_has_the_message_adds_no_reply(
    own: Any, answer: Any, reply: bytes, loop: Any
) -> None:
    cls = AfterTheMessage if own is object else type("Own", (own, AfterTheMessage), {})
    server = with_channel(cls, Waits, answers=iter([answer, None]))
    with on_stage(server, loop=loop) as stage, stage.connect() as client:
        stage.say(client, b"HELO x")
        client.send(MESSAGE + b"NOOP\r\n")
        assert [stage.hear(client) for _ in range(3)] == [OK, OK, GO_ON]
        (channel,) = stage.channels
        stage.until(lambda: stage.server.errors or getattr(channel, "handled", 0))
        assert not client.has_input()
        stage.server.may_end.set()
        assert [stage.hear(client) for _ in range(2)] == [reply, OK]
        stage.turn(3)
        assert not client.has_input()
        client.send(MESSAGE)
        assert [stage.hear(client) for _ in range(4)] == [OK, OK, GO_ON, OK]


@LOOPS
def test_a_hook_that_fails_after_the_answer_came_at_once_adds_no_reply(
    loop: Any,
) -> None:
    server = with_channel(AfterTheMessage, AnswersAtOnce)
    with serving(server, loop=loop) as running, connected(running) as client:
        client.say(b"HELO x")
        client.send(MESSAGE * 2 + b"NOOP\r\n")
        assert client.replies(9) == [OK, OK, GO_ON, OK] * 2 + [OK]
        assert len(running.errors) == len(running.messages) == 2


class RepliesAfterTheMessage(Channel):
    """Its hook replies, though a worker will, and fails."""

    def found_terminator(self) -> None:
        is_message = self.smtp_state == self.DATA
        super().found_terminator()
        if is_message:
            self.push("250 my own")
            raise Full


@pytest.mark.parametrize(
    "channel, heard",
    [
        (RepliesAfterTheMessage, b"250 my own\r\n"),
        (type("Own", (Replies, AfterTheMessage), {}), b"451 caught\r\n"),
    ],
)
@pytest.mark.parametrize("answer", [None, Full()])
@LOOPS
def test_where_a_failing_hook_has_replied_the_answer_is_no_second_reply(
    channel: Any, heard: bytes, answer: Any, loop: Any
) -> None:
    server = with_channel(channel, Waits, answers=iter([answer]))
    with on_stage(server, loop=loop) as stage, stage.connect() as client:
        stage.say(client, b"HELO x")
        client.send(MESSAGE + b"NOOP\r\n")
        said = [stage.hear(client) for _ in range(4)]
        assert said == [OK, OK, GO_ON, heard]
        stage.server.may_end.set()
        # handle_error is asked about the handler's exception, too.
        is_asked = issubclass(channel, Replies) and isinstance(answer, Full)
        assert stage.rest(client) == (heard if is_asked else FAREWELL)
        assert len(stage.server.messages) == 1


class BeginsTheReply(Channel):
    """Its hook begins the reply to a message, which the handler ends."""

    def found_terminator(self) -> None:
        if self.smtp_state == self.DATA:
            self.push("250-thank you")
        super().found_terminator()


@pytest.mark.parametrize("server", [Server, Waits, AnswersAtOnce])
@LOOPS
def test_a_hook_may_begin_the_reply_to_a_message(server: Any, loop: Any) -> None:
    with serving(with_channel(BeginsTheReply, server), loop=loop) as running:
        if server is Waits:
            running.may_end.set()
        with connected(running) as client:
            client.say(b"HELO x")
            client.send(MESSAGE + b"NOOP\r\n")
            heard = client.replies(5)
    assert heard == [OK, OK, GO_ON, b"250-thank you\r\n" + OK, OK]


@LOOPS
def test_who_cannot_take_a_message_leaves_nothing_waiting(loop: Any) -> None:
    class Fails(Server):
        fails = True

        def _smtpd_take_message(self, call: Any, message: Any, answered: Any) -> bool:
            if self.fails:
                self.fails = False
                raise Full
            return False

    with serving(Fails, loop=loop) as server, connected(server) as client:
        client.say(b"HELO x")
        client.send(MESSAGE * 2)
        assert client.replies(8) == [OK, OK, GO_ON, FAILED, OK, OK, GO_ON, OK]


def test_a_message_is_handed_over_with_its_envelope_and_options() -> None:
    seen: list[Any] = []

    class Looks(Server):
        def _smtpd_take_message(self, call: Any, message: Any, answered: Any) -> bool:
            seen.append(message)
            return False

    for settings in ({}, {"decode_data": True}):
        with serving(Looks, **settings) as server, connected(server) as client:
            client.say(b"EHLO x")
            client.send(
                b"MAIL FROM:<a@b> SIZE=3\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\n"
            )
            assert client.replies(4) == [OK, OK, GO_ON, OK]
            message = seen.pop()
            peer = client.socket.getsockname()
            assert message.envelope == (peer, "a@b", ["c@d"])
            assert message.options["mail_options"] == ["SIZE=3"]
            assert message.options["rcpt_options"] == []
            assert message.data == ("x" if settings else b"x")
            assert message.channel.smtp_server is server
