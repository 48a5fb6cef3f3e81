"""Taking connections as asyncore does, where programs can tell; and forked children."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import types
from collections.abc import Iterator
from typing import Any

import pytest

import smtpd_compat
from smtpd_compat import asyncore
from tests.support.keeping import Server
from tests.support.loops import LOOPS
from tests.support.serving import address
from tests.support.talking import Client, Stage, on_stage

pytestmark = pytest.mark.usefixtures("heard")


@contextlib.contextmanager
def waiting(stage: Stage, count: int, after: int = 1000) -> Iterator[list[Client]]:
    """Clients whose connections wait to be accepted.

    :param after: how many have come before them, one after the other.
    """
    stage.server._smtpd_accepted_in_a_row = after
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Client(address(stage.server))) for _ in range(count)]


def hear_all(stage: Stage, clients: list[Client]) -> None:
    """Each of *clients* gets its banner."""
    for client in clients:
        assert stage.hear(client).startswith(b"220 ")


@LOOPS
def test_an_accept_of_ones_own_may_take_it_that_somebody_waits(loop: Any) -> None:
    class Unpacks(Server):
        def accept(self) -> Any:
            conn, addr = super().accept()  # type: ignore[misc]
            return conn, addr

    with on_stage(Unpacks, loop=loop) as stage, waiting(stage, 3) as clients:
        hear_all(stage, clients)
    assert stage.server.errors == []


def test_an_accept_patched_into_asyncore_may_take_it_that_somebody_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    accept = asyncore.dispatcher.accept

    def unpacks(self: Any) -> Any:
        conn, addr = accept(self)
        return conn, addr

    monkeypatch.setattr(asyncore.dispatcher, "accept", unpacks)
    with on_stage(Server) as stage, waiting(stage, 3) as clients:
        hear_all(stage, clients)
    assert stage.server.errors == []


class Counts(Server):
    """Counts its connections in handle_accept."""

    count = 0

    def handle_accept(self) -> None:
        self.count += 1
        super().handle_accept()


class CountsAccepted(Server):
    """Counts its connections in handle_accepted, which is called anyway."""

    count = 0

    def handle_accepted(self, conn: Any, addr: Any) -> None:
        self.count += 1
        super().handle_accepted(conn, addr)


@LOOPS
@pytest.mark.parametrize("server", [Counts, CountsAccepted])
def test_one_handle_accept_is_one_connection(loop: Any, server: Any) -> None:
    with on_stage(server, loop=loop) as stage, waiting(stage, 3) as clients:
        stage.turn(timeout=1)
        assert len(stage.channels) == stage.server.count == 1
        hear_all(stage, clients)
        assert len(stage.channels) == stage.server.count == 3


@pytest.mark.parametrize("name", ["accept", "handle_accept", "handle_accepted"])
def test_a_method_assigned_on_the_server_means_one_connection_too(name: str) -> None:
    with on_stage(Server) as stage:
        ours = getattr(stage.server, name)
        setattr(stage.server, name, lambda *args: ours(*args))
        with waiting(stage, 3) as clients:
            stage.turn(timeout=1)
            assert len(stage.channels) == 1
            hear_all(stage, clients)


@LOOPS
def test_a_server_of_one_client_at_a_time_has_one(loop: Any) -> None:
    class OneAtATime(Server):
        def readable(self) -> bool:
            busy = [d for d in self._map.values() if hasattr(d, "smtp_server")]
            return not busy and super().readable()

    with on_stage(OneAtATime, loop=loop) as stage, waiting(stage, 3) as clients:
        for client in clients:
            assert stage.hear(client).startswith(b"220 ")
            assert len(stage.channels) == 1
            stage.say(client, b"QUIT")
            stage.until(lambda: not stage.channels)


def test_many_that_come_one_after_the_other_are_taken_together() -> None:
    with on_stage(Server) as stage, waiting(stage, 40, after=0) as clients:
        taken = []
        while len(stage.channels) < len(clients):
            before = len(stage.channels)
            stage.turn(timeout=1)
            taken.append(len(stage.channels) - before)
        assert taken[0] == 1
        assert taken == sorted(taken)
        assert max(taken) > 2
        stage.turn(timeout=0.001)
        with waiting(stage, 3) as others:
            stage.until(lambda: len(stage.channels) > len(clients))
            assert len(stage.channels) == len(clients) + len(others)
            # Nobody was left, so the next ones are taken one by one again.
            assert stage.server._smtpd_accepted_in_a_row == 0


@LOOPS
@pytest.mark.parametrize("timeout", [None, 20.0])
@pytest.mark.parametrize("limit", [None, 2])
def test_a_listening_socket_that_blocks_does_not_stall(
    loop: Any, timeout: Any, limit: Any
) -> None:
    with on_stage(Server, loop=loop) as stage:
        stage.server.socket.settimeout(timeout)
        stage.server.connection_limit = limit
        with waiting(stage, 3) as clients:
            said = [stage.hear(client)[:4] for client in clients]
            assert said == [b"220 ", b"220 ", b"421 " if limit else b"220 "]
            assert stage.say(clients[0], b"NOOP") == b"250 OK\r\n"


class Careful(socket.socket):
    """A socket of a program's own, which is not asked in vain."""

    def accept(self) -> Any:
        assert select.select([self], [], [], 0)[0], "nobody waits"
        return super().accept()


@LOOPS
def test_a_socket_of_ones_own_is_asked_only_when_somebody_waits(loop: Any) -> None:
    with on_stage(Server, loop=loop) as stage:
        system_s = stage.server.socket
        stage.server.socket = Careful(fileno=system_s.detach())
        stage.server.socket.setblocking(False)
        with waiting(stage, 9) as clients:
            hear_all(stage, clients)
            stage.turn(3)
    assert stage.server.errors == []


def test_a_server_closed_by_its_first_connection_takes_no_other() -> None:
    class OneShot(smtpd_compat.SMTPServer):
        def channel_class(self, server: Any, *args: Any) -> Any:  # type: ignore[override]
            server.close()
            return smtpd_compat.SMTPChannel(server, *args)

    with on_stage(OneShot) as stage, waiting(stage, 2) as clients:
        stage.server.channel_class = types.MethodType(
            OneShot.channel_class, stage.server
        )
        stage.until(lambda: stage.channels)
        assert len(stage.channels) == 1
        assert stage.hear(clients[0]).startswith(b"220 ")


# A process for each connection

posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")


def in_child(work: Any) -> int:
    """Run *work* in a forked child; its exit status is what *work* returns."""
    pid = os.fork()
    if not pid:
        status = 99
        try:
            signal.alarm(20)
            status = work()
        finally:
            os._exit(status)
    ended = os.waitpid(pid, 0)[1]
    assert os.WIFEXITED(ended), ended
    return os.WEXITSTATUS(ended)


class Fails(Server):
    """Cannot serve."""

    def handle_accepted(self, conn: Any, addr: Any) -> None:
        conn.close()
        raise AssertionError("daemonic processes are not allowed to have children")


@posix
@LOOPS
def test_a_childs_copy_of_the_server_closes_at_its_first_error(loop: Any) -> None:
    with on_stage(Fails, loop=loop) as stage, waiting(stage, 2):

        def work() -> int:
            loop(timeout=20, map=stage.map)  # ends when the map is empty
            return len(stage.server.errors)

        assert in_child(work) == 1
        stage.until(lambda: stage.server.errors)
        assert stage.server in stage.map.values(), "it outlives the error here"


@posix
def test_a_childs_copy_that_is_out_of_descriptors_closes_too() -> None:
    with on_stage(Server) as stage:

        def work() -> int:
            def exhausted() -> Any:
                raise OSError(24, "Too many open files")

            stage.server.socket.close()
            stage.server.socket = types.SimpleNamespace(
                accept=exhausted, close=lambda: None
            )
            try:
                stage.server.accept()
            except OSError:
                stage.server.handle_error()
            return len(stage.map)

        assert in_child(work) == 0


@posix
def test_a_server_that_a_child_opens_outlives_its_errors() -> None:
    def work() -> int:
        with on_stage(Fails) as stage, waiting(stage, 2):
            stage.until(lambda: len(stage.server.errors) == 2)
            return int(stage.server not in stage.map.values())

    assert in_child(work) == 0


@posix
@LOOPS
def test_a_process_for_each_connection_that_stays_in_the_loop(loop: Any) -> None:
    """The child takes its client along and leaves the server to the parent."""

    class Forks(Server):
        children: list[int] = []  # noqa: RUF012

        def handle_accepted(self, conn: Any, addr: Any) -> None:
            pid = os.fork()
            if pid:
                self.children.append(pid)
                conn.close()
                return
            signal.alarm(20)
            self.close()
            super().handle_accepted(conn, addr)

    parent = os.getpid()
    with on_stage(Forks, loop=loop) as stage, waiting(stage, 3) as clients:
        try:
            loop(timeout=1, map=stage.map, count=1)
            while os.getpid() == parent and len(stage.server.children) < 3:
                stage.turn(timeout=1)
            if os.getpid() != parent:
                for client in clients:
                    client.socket.close()
                loop(timeout=20, map=stage.map)
        finally:
            if os.getpid() != parent:
                os._exit(0)
        for client in clients:
            assert client.reply().startswith(b"220 ")
            assert client.say(b"NOOP") == b"250 OK\r\n"
            assert client.say(b"QUIT").startswith(b"221 ")
        for pid in stage.server.children:
            os.waitpid(pid, 0)
    assert stage.server.errors == []
