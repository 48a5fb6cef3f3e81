"""What programs assign, override or do while a server runs takes effect at once."""

from __future__ import annotations

import os
import socket
import time
import types

import pytest

import smtpd_compat
from smtpd_compat import asynchat, asyncore
from tests.support.clock import tell
from tests.support.conversing import MESSAGE, OK
from tests.support.keeping import Channel, Server
from tests.support.loops import LOOPS
from tests.support.serving import address
from tests.support.talking import Client, on_stage

TYPE_CHECKING = bool()
if TYPE_CHECKING:
    from typing import Any

pytestmark = pytest.mark.usefixtures("heard")


def with_channel(channel: Any, server: Any = Server) -> Any:
    return type("Serves", (server,), {"channel_class": channel})


# Wants


class Pauses(Channel):
    def smtp_XPAUSE(self, arg: Any) -> None:
        self.push("250 paused")
        self.readable = lambda: False  # type: ignore[method-assign]


@LOOPS
def test_a_readable_assigned_on_a_channel_stops_its_reading(loop: Any) -> None:
    with on_stage(with_channel(Pauses), loop=loop) as stage:
        with stage.connect() as client:
            assert stage.say(client, b"NOOP") == OK
            assert stage.say(client, b"XPAUSE") == b"250 paused\r\n"
            client.send(b"NOOP\r\n")
            stage.turn(5)
            assert not client.has_input()
            (channel,) = stage.channels
            del channel.readable
            assert stage.hear(client) == OK


@LOOPS
def test_wants_assigned_on_a_channel_are_asked_for_in_every_turn(loop: Any) -> None:
    with on_stage(Server, loop=loop) as stage:
        with stage.connect() as client, stage.connect() as other:
            assert stage.say(client, b"NOOP") == OK
            assert stage.say(other, b"NOOP") == OK
            reads, asked = [False], []
            (channel,) = [
                each
                for each in stage.channels
                if each.addr == client.socket.getsockname()
            ]
            channel.readable = lambda: reads[0]
            client.send(b"NOOP\r\n")
            assert stage.say(other, b"NOOP") == OK
            stage.turn(3)
            assert not client.has_input()
            reads[0] = True
            assert stage.hear(client) == OK
            channel.writable = lambda: asked.append(True)
            assert stage.say(client, b"NOOP") == OK
            stage.turn(2)
            before = len(asked)
            stage.turn(20)
            assert len(asked) == before + 20


class Closes(Channel):
    def smtp_XFULL(self, arg: Any) -> None:
        self.smtp_server.readable = lambda: False
        self.push("250 full")


@LOOPS
def test_a_readable_assigned_on_a_server_keeps_the_next_client_waiting(
    loop: Any,
) -> None:
    with on_stage(with_channel(Closes), loop=loop) as stage:
        with stage.connect() as client:
            assert stage.say(client, b"XFULL") == b"250 full\r\n"
            with Client(address(stage.server)):
                stage.turn(5)
                assert len(stage.channels) == 1


@LOOPS
def test_a_server_that_is_not_to_read_keeps_nobody_else_waiting(loop: Any) -> None:
    with on_stage(with_channel(Closes), loop=loop) as stage:
        with stage.connect() as client, stage.connect() as other:
            stage.turn(2)  # nothing happens, so what happens first is reported first
            client.send(b"XFULL\r\n")
            with Client(address(stage.server)):
                other.send(b"NOOP\r\n")
                stage.turn()
                assert other.has_input()


@LOOPS
def test_a_writable_of_a_server_s_own_is_asked_in_every_turn(loop: Any) -> None:
    class Asked(Server):
        asked = 0

        def writable(self) -> bool:
            self.asked += 1
            return False

    with on_stage(Asked, loop=loop) as stage:
        stage.turn()
        before = stage.server.asked
        stage.turn(20)
        assert stage.server.asked == before + 20


@LOOPS
def test_a_readable_assigned_on_a_server_is_asked_in_every_turn(loop: Any) -> None:
    asked: list[Any] = []
    with on_stage(Server, loop=loop) as stage:
        stage.turn(2)
        stage.server.readable = lambda: asked.append(1) or True
        with stage.connect():
            stage.turn(2)
            before = len(asked)
            stage.turn(20)
            assert len(asked) == before + 20


@LOOPS
def test_a_server_opened_anew_on_its_descriptor_is_heard_at_once(loop: Any) -> None:
    class Reopens(Channel):
        def smtp_XREOPEN(self, arg: Any) -> None:
            server = self.smtp_server
            asyncore.dispatcher.close(server)
            server.create_socket(socket.AF_INET, socket.SOCK_STREAM)
            server.bind(("127.0.0.1", 0))
            server.listen(5)
            self.push("250 open")

    with on_stage(with_channel(Reopens), loop=loop) as stage:
        with stage.connect() as client:
            before = stage.server._fileno
            assert stage.say(client, b"XREOPEN") == b"250 open\r\n"
            assert stage.server._fileno == before
            with Client(address(stage.server)):
                stage.turn(2)
                assert len(stage.channels) == 2


def test_a_turn_lasts_its_time_though_the_clock_stands_still(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with on_stage(Server, loop=smtpd_compat.loop) as stage, stage.connect() as client:
        stands_at = time.monotonic()
        assert stage.say(client, b"NOOP") == OK
        tell(monkeypatch, lambda: stands_at)
        began = time.monotonic()
        stage.turn(timeout=0.3)
        assert time.monotonic() - began >= 0.29


# Turns


class Handshakes(Channel):
    """Its output waits for a handshake, which fails each time it is tried."""

    def handle_read(self) -> None:
        raise ValueError("no handshake")

    def initiate_send(self) -> None:
        pass


class Receives(Channel):
    """A channel that cannot receive."""

    def recv(self, size: int) -> bytes:
        raise ValueError("no octets")


@LOOPS
@pytest.mark.parametrize("channel", [Handshakes, Receives])
def test_a_channel_that_fails_without_having_looked_at_input_closes(
    channel: Any, loop: Any
) -> None:
    with on_stage(with_channel(channel), loop=loop) as stage:
        with Client(address(stage.server)) as client:
            stage.until(lambda: stage.channels)
            client.send(b"NOOP\r\n")
            stage.until(lambda: not stage.channels)


@LOOPS
def test_commands_that_fail_one_after_the_other_are_each_answered(loop: Any) -> None:
    class Fails(Channel):
        def smtp_XFAIL(self, arg: Any) -> None:
            raise ValueError("a mistake")

    failed = b"451 Error: local error in processing\r\n"
    with on_stage(with_channel(Fails), loop=loop) as stage, stage.connect() as client:
        assert [stage.say(client, b"XFAIL") for _ in range(3)] == [failed] * 3
        client.send(b"XFAIL\r\n" * 3)
        assert [stage.hear(client) for _ in range(3)] == [failed] * 3
        assert stage.say(client, b"NOOP") == OK


@LOOPS
def test_replies_that_nobody_reads_are_bounded_where_each_leaves_alone(
    loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smtpd_compat._connection._output._UNSENT_LIMIT", 10_000)

    class Own(Channel):
        def initiate_send(self) -> None:
            pass

    with on_stage(with_channel(Own), loop=loop) as stage:
        with Client(address(stage.server)) as client:
            client.socket.setblocking(False)
            stage.until(lambda: stage.channels)
            (channel,) = stage.channels
            sent = 0
            while channel._smtpd.hold is None and sent < 1_000_000:
                sent += client.socket.send(b"NOOP\r\n" * 100)
                stage.turn(2)
            size = sum(map(len, channel.producer_fifo))
            assert 10_000 < size < 10_000 + 2 * channel.ac_in_buffer_size


@LOOPS
def test_a_message_that_a_program_gives_up_half_way_leaves_nothing(loop: Any) -> None:
    class GivesUp(Channel):
        def handle_read(self) -> None:
            super().handle_read()
            if self.smtp_state == self.DATA and self.num_bytes > 20:
                self.push("552 enough")
                self._set_rset_state()

    with on_stage(with_channel(GivesUp), loop=loop) as stage:
        with stage.connect() as client:
            stage.say(client, b"HELO x")
            client.send(MESSAGE.partition(b"hello")[0])
            assert stage.hear(client) == stage.hear(client) == OK
            assert stage.hear(client).startswith(b"354 ")
            client.send(b"x" * 30)
            assert stage.hear(client) == b"552 enough\r\n"
            assert stage.say(client, b"NOOP") == OK


@LOOPS
def test_a_channel_initialised_again_gets_the_reply_to_its_message(loop: Any) -> None:
    class Again(Channel):
        def smtp_XAGAIN(self, arg: Any) -> None:
            type(self).__init__(self, self.smtp_server, self.conn, self.addr, map=map)

    class Threaded(Server):
        worker_threads = 1

        def process_message(self, *args: Any, **kwargs: Any) -> None:
            pass

    with on_stage(with_channel(Again, Threaded), loop=loop) as stage:
        map = stage.map
        with stage.connect() as client:
            assert stage.say(client, b"XAGAIN").startswith(b"220 ")
            stage.say(client, b"HELO x")
            client.send(MESSAGE)
            assert stage.hear(client) == stage.hear(client) == OK
            assert stage.hear(client).startswith(b"354 ")
            assert stage.hear(client) == OK


@LOOPS
def test_a_channel_without_asynchat_s_init_converses(loop: Any) -> None:
    class Bare(Channel):
        def __init__(self, server: Any, conn: Any, addr: Any, **_: Any) -> None:
            asyncore.dispatcher.__init__(self, conn, map=server._map)
            self.smtp_server = server
            self.producer_fifo = asynchat.deque()
            self.set_terminator(b"\r\n")
            self.push("220 hi")

        def handle_read(self) -> None:
            line = self.recv(100)
            if line:
                self.push("250 " + line.decode().strip())

    with on_stage(with_channel(Bare), loop=loop) as stage:
        with stage.connect() as client:
            assert stage.say(client, b"NOOP") == b"250 NOOP\r\n"


@LOOPS
def test_a_handler_s_own_loop_sends_the_replies_that_were_gathered(loop: Any) -> None:
    class Nested(Server):
        def process_message(self, *args: Any, **kwargs: Any) -> None:
            for _ in range(3):
                loop(timeout=0.01, map=self._map, count=1)
            self.heard_meanwhile = watched.has_input()

    with on_stage(Nested, loop=loop) as stage, stage.connect() as client:
        watched = client
        stage.say(client, b"HELO x")
        client.send(MESSAGE)
        assert stage.hear(client) == stage.hear(client) == OK
        assert stage.hear(client).startswith(b"354 ")
        assert stage.hear(client) == OK
        assert stage.server.heard_meanwhile


# Children and handlers


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
@LOOPS
def test_a_child_that_closes_its_copies_leaves_the_parent_s_connections(
    loop: Any,
) -> None:
    class Forks(Channel):
        def smtp_XFORK(self, arg: Any) -> None:
            pid = os.fork()
            if not pid:
                try:
                    asyncore.close_all(self._map)
                finally:
                    os._exit(0)
            os.waitpid(pid, 0)
            self.push("250 forked")

    with on_stage(with_channel(Forks), loop=loop) as stage:
        with stage.connect() as client, stage.connect() as other:
            assert stage.say(client, b"XFORK") == b"250 forked\r\n"
            assert stage.say(client, b"NOOP") == OK
            assert stage.say(other, b"NOOP") == OK


@LOOPS
def test_a_bound_handler_that_no_dict_can_hold_is_called(loop: Any) -> None:
    class Slots:
        __slots__ = ()
        __hash__ = None  # type: ignore[assignment]

        def __call__(self, server: Any, *args: Any, **kwargs: Any) -> str:
            return "250 taken"

    with on_stage(Server, loop=loop) as stage, stage.connect() as client:
        stage.server.process_message = types.MethodType(Slots(), stage.server)
        stage.say(client, b"HELO x")
        for _ in range(2):
            client.send(MESSAGE)
            assert stage.hear(client) == stage.hear(client) == OK
            assert stage.hear(client).startswith(b"354 ")
            assert stage.hear(client) == b"250 taken\r\n"


def test_a_message_that_no_thread_may_take_is_not_wrapped_up_for_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    offered: list[Any] = []
    monkeypatch.setattr(
        "smtpd_compat._connection._session.Session._is_taken",
        lambda *args: bool(offered.append(args)),
    )
    with on_stage(Server) as stage, stage.connect() as client:
        stage.say(client, b"HELO x")
        for threads in (0, 1):
            stage.server.worker_threads = threads
            client.send(MESSAGE)
            assert stage.hear(client) == stage.hear(client) == OK
            assert stage.hear(client).startswith(b"354 ")
            assert stage.hear(client) == OK
            assert len(offered) == threads
