"""`smtpd_compat.loop`, which has to do what ``asyncore.loop`` does, and that loop."""

from __future__ import annotations

import contextlib
import errno
import inspect
import itertools
import os
import select
import selectors
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, Dict

import pytest

import smtpd_compat
from smtpd_compat import _loop, _watching, asyncore
from tests.support.clock import tell
from tests.support.conversing import MESSAGE, OK
from tests.support.keeping import Channel, Server
from tests.support.loops import own_loop_on_select, poll_loop
from tests.support.serving import address, looping, serving
from tests.support.talking import PATIENCE, Client, Stage, connected, on_stage
from tests.support.threads import in_threads

LOOPS = pytest.mark.parametrize(
    "loop",
    [asyncore.loop, smtpd_compat.loop, own_loop_on_select],
    ids=["asyncore", "own", "own on select"],
)


def own_loop_on_a_chosen_epoll(**kwargs: Any) -> None:
    """Where a program has chosen the standard library's selector."""

    class Chosen(selectors.EpollSelector):
        pass

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selectors, "DefaultSelector", Chosen)
        smtpd_compat.loop(**kwargs)


class Ear(asyncore.dispatcher):
    """A dispatcher that is none of ours: it keeps what it hears."""

    def __init__(self, map: dict[int, Any]) -> None:
        near_end, self.far_end = socket.socketpair()
        self.heard = b""
        self.wants_to_read = True
        self.to_say = b""
        super().__init__(near_end, map)

    def readable(self) -> bool:
        return self.wants_to_read

    def writable(self) -> bool:
        return bool(self.to_say)

    def handle_read(self) -> None:
        self.heard += self.recv(100)

    def handle_write(self) -> None:
        self.to_say = self.to_say[self.send(self.to_say) :]

    def handle_close(self) -> None:
        self.close()

    def close(self) -> None:
        super().close()
        self.far_end.close()  # now no loop in another thread sees it end


@contextlib.contextmanager
def ear(map: dict[int, Any]) -> Iterator[Ear]:
    listener = Ear(map)
    try:
        yield listener
    finally:
        listener.close()


@contextlib.contextmanager
def holding_child(*not_held: Any) -> Iterator[None]:
    """A forked child, which holds what is open now, but for *not_held*."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if not child:
        for each in not_held:
            each.close()
        os.close(write_end)
        os.read(read_end, 1)  # until the parent closes its end
        os._exit(0)
    try:
        yield
    finally:
        os.close(write_end)
        os.close(read_end)
        os.waitpid(child, 0)


def test_the_loop_has_asyncores_arguments_and_defaults() -> None:
    ours, theirs = map(inspect.signature, (smtpd_compat.loop, asyncore.loop))
    assert [(each.name, each.default) for each in ours.parameters.values()] == [
        (each.name, each.default) for each in theirs.parameters.values()
    ]


@pytest.mark.parametrize("error", [TypeError, KeyError, RuntimeError])
@LOOPS
def test_the_map_need_not_tell_what_came_last(
    loop: Any, error: type[Exception]
) -> None:
    """One that is no dict, say, or that another thread is changing."""

    class Map(Dict[int, Any]):
        def __reversed__(self) -> Iterator[int]:
            raise error("no order")

    map = Map()
    with ear(map) as one:
        loop(timeout=0, map=map, count=1)
        with ear(map) as two:
            for each in (one, two):
                each.far_end.send(b"x")
            loop(timeout=0, map=map, count=2)
            assert (one.heard, two.heard) == (b"x", b"x")
        loop(timeout=0, map=map, count=1)
    loop(timeout=0, map=map)


# An interruption


class Interrupts(Ear):
    """It asks for the loop's end, and then goes on with what it is doing."""

    def handle_read(self) -> None:
        _loop.interrupt()
        super().handle_read()


def test_an_interruption_comes_after_what_is_being_handled() -> None:
    map: dict[int, Any] = {}
    with contextlib.closing(Interrupts(map)) as listener:
        listener.far_end.send(b"x")
        with pytest.raises(KeyboardInterrupt):
            smtpd_compat.loop(map=map)
        assert listener.heard == b"x"
    smtpd_compat.loop(map=map)


@pytest.mark.parametrize("turns", [0, 1])
def test_where_no_loop_runs_the_interruption_is_at_once(turns: int) -> None:
    """One that has been left keeps its selector for the next call."""
    map: dict[int, Any] = {}
    with ear(map):
        smtpd_compat.loop(timeout=0, map=map, count=turns)
        with pytest.raises(KeyboardInterrupt):
            _loop.interrupt()
        smtpd_compat.loop(timeout=0, map=map, count=1)
    smtpd_compat.loop(map=map)


def test_an_interruption_may_come_while_dispatchers_are_asked_what_they_want() -> None:
    class Asked(Ear):
        asked = 0

        def readable(self) -> bool:
            _loop.interrupt()
            self.asked += 1
            return True

    map: dict[int, Any] = {}
    with contextlib.closing(Asked(map)) as listener:
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                smtpd_compat.loop(map=map)
        assert listener.asked == 2
    smtpd_compat.loop(map=map)


@pytest.mark.parametrize("is_nested", [False, True])
def test_an_interruption_ends_a_wait_at_once(
    is_nested: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(selectors.DefaultSelector):  # type: ignore[name-defined,misc]
        def select(self, timeout: float | None = None) -> Any:
            if is_nested and outer not in nested:
                return super().select(timeout)
            _loop.interrupt()
            raise AssertionError("it went on")

    class Loops(Ear):
        def handle_read(self) -> None:
            nested.append(self)
            with ear({}) as other:
                smtpd_compat.loop(map=other._map)

    monkeypatch.setattr(selectors, "DefaultSelector", Interrupted)
    map: dict[int, Any] = {}
    nested: list[Any] = []
    with contextlib.closing(Loops(map)) as outer:
        outer.far_end.send(b"x")
        with pytest.raises(KeyboardInterrupt):
            smtpd_compat.loop(map=map)
        assert nested == [outer] * is_nested
    assert not _loop._of_thread.is_interrupted


def test_a_loop_runs_on_its_map_until_it_is_left() -> None:
    class Asks(Ear):
        def handle_read(self) -> None:
            self.recv(9)
            runs.extend(_loop.is_running_on(each) for each in (map, {}))

    map: dict[int, Any] = {}
    runs: list[bool] = []
    with contextlib.closing(Asks(map)) as asks:
        assert not _loop.is_running_on(map)
        asks.far_end.send(b"x")
        smtpd_compat.loop(map=map, count=1)
        assert runs == [True, False]
        assert not _loop.is_running_on(map)
    smtpd_compat.loop(map=map)


# A server that cannot accept, in asyncore's loops


def test_waiting_for_others_ends_when_one_of_them_has_something_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    map: dict[int, Any] = {}
    with ear(map) as server, ear(map) as reader, ear(map) as writer:
        writer.wants_to_read = False
        with monkeypatch.context() as patch:
            patch.setattr(_loop.time, "sleep", None)
            reader.far_end.send(b"x")
            _loop.wait_for_others(server, map, PATIENCE)
            reader.handle_read()
            writer.to_say = b"y"
            reader.wants_to_read = False
            _loop.wait_for_others(server, map, PATIENCE)
        assert writer.send(b"y") == 1
        writer.to_say = b""
        slept: list[float] = []
        with monkeypatch.context() as patch:
            patch.setattr(_loop.time, "sleep", slept.append)
            server.to_say = b"z"
            _loop.wait_for_others(server, map, 0.25)
        assert slept == [0.25]


@pytest.mark.parametrize("is_full", [False, True])
def test_waiting_for_others_goes_on_while_none_can_do_what_it_wants(
    is_full: bool,
) -> None:
    """One waits for input; or to write, and what comes meanwhile is not for it."""
    map: dict[int, Any] = {}
    with ear(map) as server, ear(map) as other:
        server.far_end.send(b"x")
        if is_full:
            with contextlib.suppress(BlockingIOError):
                while True:
                    other.socket.send(b"x" * 65536)
            other.far_end.send(b"x")
            other.wants_to_read, other.to_say = False, b"y"
        before = time.monotonic()
        _loop.wait_for_others(server, map, 0.05)
        assert time.monotonic() - before > 0.04


# Turns


@LOOPS
def test_a_loop_over_an_empty_map_ends(loop: Any) -> None:
    loop(map={})
    loop(map={}, timeout=None)
    loop(map={}, count=3)


@LOOPS
def test_count_is_the_number_of_turns(loop: Any) -> None:
    turns = []
    map: dict[int, Any] = {}
    with ear(map) as listener:
        listener.readable = lambda: turns.append(1) or True  # type: ignore
        loop(timeout=0, map=map, count=7)
        assert len(turns) == 7
        loop(timeout=0, map=map, count=0)
        assert len(turns) == 7


@LOOPS
@pytest.mark.parametrize("use_poll", [False, True])
def test_the_loop_takes_asyncores_arguments(loop: Any, use_poll: bool) -> None:
    map: dict[int, Any] = {}
    with ear(map) as listener:
        listener.far_end.send(b"x")
        loop(timeout=1.0, use_poll=use_poll, map=map, count=1)
        assert listener.heard == b"x"


def test_the_loops_arguments_may_come_by_position() -> None:
    map: dict[int, Any] = {}
    with ear(map) as listener:
        listener.far_end.send(b"x")
        smtpd_compat.loop(1.0, False, map, 1)
        assert listener.heard == b"x"


@LOOPS
def test_a_turn_waits_no_longer_than_its_timeout(loop: Any) -> None:
    map: dict[int, Any] = {}
    with ear(map):
        before = time.monotonic()
        loop(timeout=0.05, map=map, count=1)
        assert 0.04 < time.monotonic() - before < PATIENCE


def test_a_turn_may_wait_for_as_long_as_there_are_numbers() -> None:
    map: dict[int, Any] = {}
    for timeout in (threading.TIMEOUT_MAX, 1e300, float("inf")):
        with ear(map) as listener:
            listener.far_end.send(b"x")
            smtpd_compat.loop(timeout, map=map, count=1)
            assert listener.heard == b"x"
    smtpd_compat.loop(map=map)


@LOOPS
def test_without_a_map_the_loop_serves_asyncores_own(loop: Any) -> None:
    with ear(asyncore.socket_map) as listener:
        listener.far_end.send(b"x")
        loop(timeout=1, count=1)
        assert listener.heard == b"x"


@LOOPS
def test_the_loop_ends_when_its_map_is_emptied(loop: Any) -> None:
    map: dict[int, Any] = {}

    class Empties(Ear):
        def handle_read(self) -> None:
            asyncore.close_all(map)

    others = [Ear(map) for _ in range(3)]
    listener = Empties(map)
    listener.far_end.send(b"x")
    others[0].far_end.send(b"x")
    loop(timeout=30, map=map)
    assert map == {}
    for other in (*others, listener):
        other.close()


@LOOPS
@pytest.mark.parametrize("leaves", [asyncore.ExitNow, SystemExit, KeyboardInterrupt])
def test_what_a_dispatcher_raises_by_intent_leaves_the_loop(
    leaves: type[BaseException], loop: Any
) -> None:
    class Leaves(Ear):
        def handle_read(self) -> None:
            raise leaves()

    map: dict[int, Any] = {}
    listener = Leaves(map)
    listener.far_end.send(b"x")
    with pytest.raises(leaves):
        loop(timeout=30, map=map)
    listener.close()


@LOOPS
def test_what_else_a_dispatcher_raises_is_for_its_handle_error(loop: Any) -> None:
    errors = []

    class Fails(Ear):
        def handle_read(self) -> None:
            raise ValueError("no")

        def handle_error(self) -> None:
            errors.append(sys.exc_info()[1])
            self.close()

    map: dict[int, Any] = {}
    Fails(map).far_end.send(b"x")
    loop(timeout=30, map=map)
    assert [str(error) for error in errors] == ["no"]


# Dispatchers that are none of ours


@LOOPS
def test_foreign_dispatchers_may_change_their_minds_unseen(loop: Any) -> None:
    map: dict[int, Any] = {}
    with ear(map) as listener:
        listener.wants_to_read = False
        listener.far_end.send(b"one")
        loop(timeout=0.01, map=map, count=2)
        assert listener.heard == b""
        listener.wants_to_read = True
        loop(timeout=1, map=map, count=1)
        assert listener.heard == b"one"
        listener.to_say = b"two"
        loop(timeout=1, map=map, count=1)
        assert listener.far_end.recv(100) == b"two"


class ClosesAtOnce(Ear):
    """What it reads makes it close, though it has something to say."""

    def handle_read(self) -> None:
        super().handle_read()
        self.close()

    def handle_write(self) -> None:
        raise AssertionError("closed already")

    def handle_error(self) -> None:
        raise


@LOOPS
def test_an_end_is_for_reading_only_where_nobody_wants_to_write(loop: Any) -> None:
    class Reads(Ear):
        def handle_write(self) -> None:
            raise AssertionError("it has nothing to say")

        def handle_error(self) -> None:
            raise  # noqa: PLE0704

    map: dict[int, Any] = {}
    listener = Reads(map)
    listener.far_end.send(b"x" * 250)
    listener.far_end.close()
    listener.socket.shutdown(socket.SHUT_WR)
    loop(timeout=1.0, map=map, count=5)
    assert listener.heard == b"x" * 250
    assert map == {}
    loop(map=map)


@pytest.mark.skipif(not hasattr(asyncore, "file_dispatcher"), reason="no files")
@LOOPS
def test_an_error_is_for_writing_only_where_nobody_wants_to_read(loop: Any) -> None:
    class Writes(asyncore.file_dispatcher):
        def readable(self) -> bool:
            return False

        def handle_write(self) -> None:
            os.write(self.socket.fileno(), b"x")

        def handle_read(self) -> None:
            raise AssertionError("it does not read")

        def handle_error(self) -> None:
            errors.append(sys.exc_info()[0])
            self.close()

    errors: list[Any] = []
    map: dict[int, Any] = {}
    read_end, write_end = os.pipe()
    Writes(write_end, map)
    os.close(write_end)
    loop(timeout=1.0, map=map, count=1)
    os.close(read_end)
    loop(timeout=1.0, map=map, count=1)
    assert errors == [BrokenPipeError]
    assert map == {}
    loop(map=map)


@LOOPS
def test_what_closes_while_it_reads_does_not_write_in_that_turn(loop: Any) -> None:
    map: dict[int, Any] = {}
    listener = ClosesAtOnce(map)
    listener.far_end.send(b"x")
    listener.to_say = b"y"
    loop(timeout=0, map=map)
    assert listener.heard == b"x"
    assert map == {}


@LOOPS
def test_a_turn_serves_those_that_are_ready_though_one_of_them_is_gone(
    loop: Any,
) -> None:
    map: dict[int, Any] = {}

    class Closes(Ear):
        def handle_read(self) -> None:
            super().handle_read()
            second.close()

    with contextlib.closing(Closes(map)) as first, ear(map) as second, ear(map) as last:
        for each in (first, second, last):
            each.far_end.send(b"x")
        loop(timeout=0, map=map, count=1)
        # In which order they are served, the system says.
        assert (first.heard, last.heard) == (b"x", b"x")
    loop(map=map)


@LOOPS
def test_a_turn_serves_those_that_are_ready_though_one_of_them_is_not_to_read(
    loop: Any,
) -> None:
    class Threaded(Server):
        worker_threads = 1

        def process_message(self, *args: Any, **kwargs: Any) -> None:
            has_begun.set()
            assert may_end.wait(PATIENCE)

    has_begun, may_end = threading.Event(), threading.Event()
    with on_stage(Threaded, loop=loop) as stage:
        with stage.connect() as client, stage.connect() as other:
            client.send(b"HELO x\r\n" + MESSAGE)
            stage.until(has_begun.is_set)
            stage.turn(2)
            for each in (client, other):
                each.send(b"NOOP\r\n")
            stage.turn()
            assert other.has_input()
            may_end.set()
            assert [stage.hear(client) for _ in range(6)][-2:] == [OK, OK]


@LOOPS
def test_a_dispatcher_that_comes_or_goes_while_the_loop_runs_is_noticed(
    loop: Any,
) -> None:
    map: dict[int, Any] = {}
    children: list[Ear] = []

    class Parent(Ear):
        def handle_read(self) -> None:
            self.recv(100)
            self.del_channel()
            children.append(Ear(map))
            children[-1].far_end.send(b"hello")

    with contextlib.closing(Parent(map)) as parent:
        parent.far_end.send(b"x")
        loop(timeout=1, map=map, count=2)
        assert [child.heard for child in children] == [b"hello"]
        children[0].close()


@LOOPS
def test_another_object_put_into_the_map_takes_the_events(loop: Any) -> None:
    map: dict[int, Any] = {}

    class Replaces(Ear):
        def handle_read(self) -> None:
            self.heard += self.recv(100)
            map[self._fileno] = second

    with contextlib.closing(Replaces(map)) as first, ear({}) as second:
        first.far_end.send(b"1")
        loop(timeout=1, map=map, count=1)
        # second has the descriptor now, as a TLS wrapper would have.
        second.heard_from = first.socket
        second.handle_read = lambda: setattr(  # type: ignore
            second, "heard", first.socket.recv(100)
        )
        first.far_end.send(b"2")
        loop(timeout=1, map=map, count=1)
        assert (first.heard, second.heard) == (b"1", b"2")


@LOOPS
def test_another_object_put_in_the_place_of_a_channel_takes_its_events(
    loop: Any,
) -> None:
    with on_stage(Server, loop=loop) as stage, stage.connect() as client:
        stage.turn(2)
        (channel,) = stage.channels
        with stage.connect(), ear({}) as other:
            stage.turn(2)
            other.handle_read = lambda: heard.append(  # type: ignore[method-assign]
                channel.socket.recv(100)
            )
            heard: list[bytes] = []
            map = channel._map
            map[channel._fileno] = other
            client.send(b"hello")
            stage.until(lambda: heard)
            map[channel._fileno] = channel
        client.send(b"NOOP\r\n")
        assert stage.hear(client) == OK
        assert heard == [b"hello"]


@LOOPS
def test_a_client_that_connects_again_from_handle_close_is_served(loop: Any) -> None:
    """It gets the same descriptor, under which the system knows another socket."""
    greetings = []
    closes = []

    class Reconnects(asyncore.dispatcher):
        def connect_again(self) -> None:
            self.create_socket()
            self.connect(where)

        def handle_read(self) -> None:
            heard = self.recv(100)
            if heard:
                greetings.append(heard)

        def writable(self) -> bool:
            return not self.connected

        def handle_close(self) -> None:
            closes.append(self._fileno)
            self.close()
            if len(closes) < 4:
                self.connect_again()

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.settimeout(PATIENCE)
        where = listening.getsockname()

        def serve() -> None:
            for number in range(4):
                accepted, _ = listening.accept()
                with accepted:
                    accepted.sendall(b"hello %d" % number)

        thread = threading.Thread(target=serve)
        thread.start()
        map: dict[int, Any] = {}
        Reconnects(map=map).connect_again()
        loop(timeout=PATIENCE, map=map)
        thread.join()
    assert greetings == [b"hello 0", b"hello 1", b"hello 2", b"hello 3"]


@LOOPS
def test_a_connection_that_is_refused_is_an_error_of_the_dispatcher(loop: Any) -> None:
    errors = []

    class Connects(asyncore.dispatcher):
        def handle_error(self) -> None:
            errors.append(sys.exc_info()[0])
            self.close()

        handle_expt = handle_close = handle_error

    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        map: dict[int, Any] = {}
        connects = Connects(map=map)
        connects.create_socket()
        connects.connect(bound.getsockname())
        loop(timeout=PATIENCE, map=map)
    assert len(errors) == 1


@LOOPS
def test_a_descriptor_closed_behind_the_loops_back_does_not_keep_it_busy(
    loop: Any,
) -> None:
    map: dict[int, Any] = {}
    with ear(map) as listener, ear(map) as other:
        loop(timeout=0, map=map, count=1)
        listener.socket.close()
        with contextlib.suppress(OSError):  # from select: it has always said so
            loop(timeout=0.01, map=map, count=3)
        listener.del_channel()
        other.far_end.send(b"x")
        loop(timeout=1, map=map, count=1)
        assert other.heard == b"x"


@pytest.mark.parametrize("loop", [poll_loop, smtpd_compat.loop])
def test_a_descriptor_closed_before_it_is_watched_is_a_close(loop: Any) -> None:
    """As poll says it; select ends the loop."""
    map: dict[int, Any] = {}
    with ear(map) as listener:
        listener.socket.close()
        loop(timeout=0.01, map=map, count=2)
        assert map == {}


def test_a_socket_closed_before_it_was_handed_over_is_a_close() -> None:
    """It has no descriptor any more; asyncore's loops end with a ValueError."""

    class Closes(asyncore.dispatcher):
        def handle_close(self) -> None:
            self.close()

    map: dict[int, Any] = {}
    sock = socket.socket()
    sock.close()
    Closes(map=map).set_socket(sock, map)
    assert list(map) == [-1]
    smtpd_compat.loop(timeout=0, map=map, count=1)
    assert map == {}


@pytest.mark.parametrize("loop", [poll_loop, smtpd_compat.loop])
@pytest.mark.parametrize("error", [ValueError, asyncore.ExitNow, KeyboardInterrupt])
def test_what_a_handle_close_raises_then_is_as_from_any_event(
    loop: Any, error: type[BaseException]
) -> None:
    class Fails(Ear):
        failed: list[Any]

        def handle_close(self) -> None:
            raise error("in handle_close")

        def handle_error(self) -> None:
            self.failed.append(sys.exc_info()[0])
            self.del_channel()

    map: dict[int, Any] = {}
    with contextlib.closing(Fails(map)) as listener:
        listener.failed = []
        listener.socket.close()
        if error is ValueError:
            loop(timeout=0.01, map=map, count=2)
            assert listener.failed == [error]
        else:
            with pytest.raises(error):
                loop(timeout=0.01, map=map, count=2)
            assert listener.failed == []
            listener.del_channel()
    assert map == {}


@LOOPS
def test_a_permission_error_of_a_handle_error_leaves_the_loop(loop: Any) -> None:
    """It is not taken for the selector's, which refuses regular files with it."""

    class Fails(Ear):
        def handle_error(self) -> None:
            raise PermissionError("mine")

        def handle_read(self) -> None:
            raise ValueError("no")

    map: dict[int, Any] = {}
    with contextlib.closing(Fails(map)) as fails:
        fails.far_end.send(b"x")
        with pytest.raises(PermissionError, match="mine"):
            loop(timeout=1, map=map, count=1)


# Files


@pytest.mark.skipif(not hasattr(asyncore, "file_dispatcher"), reason="none on Windows")
@LOOPS
def test_a_pipe_is_served(loop: Any) -> None:
    heard = []

    class Pipe(asyncore.file_dispatcher):
        def writable(self) -> bool:
            return False

        def handle_read(self) -> None:
            heard.append(self.recv(100))

        def handle_close(self) -> None:
            self.close()

    map: dict[int, Any] = {}
    read_end, write_end = os.pipe()
    pipe = Pipe(read_end, map=map)
    os.close(read_end)
    os.write(write_end, b"x")
    loop(timeout=1, map=map, count=1)
    os.close(write_end)
    pipe.close()
    assert heard == [b"x"]


@pytest.mark.skipif(not hasattr(asyncore, "file_dispatcher"), reason="none on Windows")
@pytest.mark.parametrize("loop", [asyncore.loop, smtpd_compat.loop])
def test_a_regular_file_is_served_and_channels_beside_it(
    loop: Any, tmp_path: Any
) -> None:
    """epoll takes no regular file; poll, which always calls it ready, does."""
    heard = []

    class File(asyncore.file_dispatcher):
        def writable(self) -> bool:
            return False

        def handle_read(self) -> None:
            data = self.recv(5)
            heard.append(data)
            if not data:
                self.close()

        def handle_close(self) -> None:
            pass

    path = tmp_path / "mail"
    path.write_bytes(b"0123456789")
    with on_stage(Server, loop=loop) as stage, stage.connect() as client:
        with open(path, "rb") as file:
            File(file.fileno(), map=stage.map)
        stage.turn(3, timeout=0.01)
        assert heard == [b"01234", b"56789", b""]
        assert stage.say(client, b"NOOP") == OK


# Channels


@LOOPS
def test_a_channel_may_be_pushed_to_from_elsewhere(loop: Any) -> None:
    """More than the system takes at once, so that the loop has to send the rest."""
    with on_stage(Server, loop=loop) as stage:
        pushed = "250 " + "x" * 8_000_000
        with stage.connect() as client, stage.connect() as other:

            class Pushes(Ear):
                def handle_read(self) -> None:
                    self.recv(100)
                    stage.channels[0].push(pushed)

            stage.turn(3)
            with contextlib.closing(Pushes(stage.map)) as pusher:
                with looping(stage.map, loop):
                    pusher.far_end.send(b"x")
                    assert client.reply() == pushed.encode() + b"\r\n"
                    assert client.say(b"NOOP") == OK
                    assert other.say(b"NOOP") == OK


@LOOPS
def test_a_channel_may_be_closed_from_elsewhere(loop: Any) -> None:
    with on_stage(Server, loop=loop) as stage:
        with stage.connect() as client, stage.connect() as other:

            class Closes(Ear):
                def handle_read(self) -> None:
                    self.recv(100)
                    stage.channels[0].close_when_done()
                    stage.channels[1].close()

            stage.turn(3)
            with contextlib.closing(Closes(stage.map)) as closer:
                with looping(stage.map, loop):
                    closer.far_end.send(b"x")
                    assert (client.rest(), other.rest()) == (b"", b"")
                    with Client(address(stage.server)) as third:
                        assert third.reply().startswith(b"220 ")


def calls_of(function: Any, work: Any) -> int:
    """How often *function* is called while *work* is done."""
    calls = []

    def profile(frame: Any, event: str, arg: Any) -> None:
        if event == "call" and frame.f_code is function.__code__:
            calls.append(1)

    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
    return len(calls)


def test_idle_channels_are_not_asked_in_every_turn() -> None:
    readable = smtpd_compat.SMTPChannel.readable
    for loop, most in ((asyncore.loop, 200), (smtpd_compat.loop, 1)):
        with on_stage(Server, loop=loop) as stage, contextlib.ExitStack() as cleanup:
            for _ in range(20):
                cleanup.enter_context(stage.connect())
            # The last one has just said something.
            asked = calls_of(readable, lambda: stage.turn(10))
            assert most // 2 <= asked <= most


class AsksForHelp(Channel):
    """It changes its mind without telling, as the author of asyncore let it."""

    holds_back = False

    def readable(self) -> bool:
        return not self.holds_back and super().readable()


@LOOPS
def test_a_channel_class_with_a_readable_of_its_own_is_asked(loop: Any) -> None:
    class Serves(Server):
        channel_class = AsksForHelp

    with on_stage(Serves, loop=loop) as stage, stage.connect() as client:
        (channel,) = stage.channels
        channel.holds_back = True
        client.send(b"NOOP\r\n")
        with ear(stage.map) as waker:

            class Wakes:
                def __call__(self) -> None:
                    waker.recv(100)
                    channel.holds_back = False

            waker.handle_read = Wakes()  # type: ignore
            with looping(stage.map, loop):
                waker.far_end.send(b"x")
                assert client.reply() == OK


# Channels that change their minds without telling, so that they have to be asked


class WritesAtItsTime(Channel):
    holds_back = False

    def writable(self) -> bool:
        return not self.holds_back and super().writable()


@LOOPS
def test_a_channel_class_with_a_writable_of_its_own_is_asked(loop: Any) -> None:
    class Serves(Server):
        channel_class = WritesAtItsTime

    def take_all() -> bytes:
        with contextlib.suppress(BlockingIOError):
            while client._receive():
                pass
        return client._unread[-2:]

    with on_stage(Serves, loop=loop) as stage, stage.connect() as client:
        (channel,) = stage.channels
        client.socket.setblocking(False)
        channel.holds_back = True
        channel.push("250 " + "x" * 8_000_000)
        stage.turn(2)
        take_all()
        stage.turn(2)
        channel.holds_back = False
        stage.until(lambda: take_all() == b"\r\n")


class SaysMore(Channel):
    def handle_read_event(self) -> None:
        super().handle_read_event()
        self.producer_fifo.append(b"250 and more\r\n")


@LOOPS
def test_a_channel_class_with_a_handle_read_event_of_its_own_is_asked(
    loop: Any,
) -> None:
    class Serves(Server):
        channel_class = SaysMore

    with on_stage(Serves, loop=loop) as stage, stage.connect() as client:
        client.send(b"NOOP\r\n")
        assert stage.hear(client) == OK
        assert stage.hear(client) == b"250 and more\r\n"


class SendsInTurnsOfItsOwn(Channel):
    may_send = False

    def initiate_send(self) -> None:
        if self.may_send:
            super().initiate_send()

    def handle_write(self) -> None:
        self.may_send = True
        super().handle_write()
        self.may_send = False


@LOOPS
def test_a_channel_class_with_an_initiate_send_of_its_own_is_asked(loop: Any) -> None:
    class Serves(Server):
        channel_class = SendsInTurnsOfItsOwn

    with on_stage(Serves, loop=loop) as stage, stage.connect() as client:
        stage.turn(2)
        (channel,) = stage.channels
        channel.push("250 from elsewhere")
        assert stage.hear(client) == b"250 from elsewhere\r\n"


class ClosesWithoutAWord(Channel):
    def close_when_done(self) -> None:
        self.producer_fifo.append(None)


@LOOPS
def test_a_channel_class_with_a_close_when_done_of_its_own_is_asked(loop: Any) -> None:
    class Serves(Server):
        channel_class = ClosesWithoutAWord

    with on_stage(Serves, loop=loop) as stage, stage.connect() as client:
        stage.turn(2)
        (channel,) = stage.channels
        channel.close_when_done()
        assert stage.rest(client) == b""


class LeavesWithoutAWord(Channel):
    def del_channel(self, map: Any = None) -> None:
        asyncore.dispatcher.del_channel(self, map)


class Orderless(Dict[int, Any]):
    """A socket map that does not tell what came last."""

    def __reversed__(self) -> Iterator[int]:
        raise TypeError("no order")


@LOOPS
@pytest.mark.parametrize("map", [dict, Orderless])
def test_a_channel_class_with_a_del_channel_of_its_own_is_asked(
    loop: Any, map: Any
) -> None:
    """New clients get the descriptors of those that leave, all in one turn."""

    class Replaces(Server):
        channel_class = LeavesWithoutAWord
        those: Any = ()

        def handle_accept(self) -> None:
            for channel in self.those:
                channel.close()
            super().handle_accept()

    with contextlib.ExitStack() as cleanup:
        stage = cleanup.enter_context(on_stage(Replaces, loop=loop, map=map()))
        gone = [cleanup.enter_context(stage.connect()) for _ in range(2)]
        stage.turn(2)
        came = [cleanup.enter_context(Client(address(stage.server))) for _ in gone]
        stage.server.those = stage.channels
        for client in came:
            assert stage.hear(client).startswith(b"220 ")
        for client in came:
            assert stage.say(client, b"NOOP") == OK


@LOOPS
def test_a_loop_may_go_on_where_another_was_left(loop: Any) -> None:
    with on_stage(Server, loop=loop) as stage, stage.connect() as client:
        client.send(b"HELO x\r\nNOO")
        assert stage.hear(client).startswith(b"250 ")
        other = Stage(stage.server, stage.map, asyncore.loop)
        client.send(b"P\r\n")
        assert other.hear(client) == OK
        assert stage.say(client, b"NOOP") == OK


def test_a_loop_called_again_after_an_exception_trusts_nothing() -> None:
    """A signal handler's may have come between any two steps of the loop's own."""
    with on_stage(Server, loop=smtpd_compat.loop) as stage, stage.connect() as client:
        assert stage.say(client, b"NOOP") == OK
        (poller,) = _loop._of_thread.pollers.values()
        poller._changed.clear()
        poller._events.clear()

        def interrupts(timeout: float | None) -> Any:
            raise KeyboardInterrupt

        poller.ready = interrupts
        with pytest.raises(KeyboardInterrupt):
            stage.turn()
        assert stage.say(client, b"NOOP") == OK


@LOOPS
def test_a_handler_may_run_a_loop_of_its_own(loop: Any) -> None:
    """What happened to the others meanwhile must not be lost on the outer loop."""

    class Loops(Server):
        def process_message(self, *args: Any, **kwargs: Any) -> Any:
            waiting = [Client(address(self)) for _ in range(2)]
            loop(timeout=0.01, map=self._map, count=3)
            self.clients = waiting
            return super().process_message(*args, **kwargs)

    class Pushes(Ear):
        def handle_read(self) -> None:
            self.recv(100)
            for entry in list(self._map.values()):
                if isinstance(entry, Channel):
                    entry.push("250 " + "x" * 8_000_000)

    with on_stage(Loops, loop=loop) as stage:
        with stage.connect() as client, stage.connect() as other:
            with contextlib.closing(Pushes(stage.map)) as pusher:
                with looping(stage.map, loop):
                    client.send(b"HELO x\r\n" + MESSAGE)
                    assert client.replies(5)[-1] == OK
                    for waiting in stage.server.clients:
                        assert waiting.reply().startswith(b"220 ")
                        assert waiting.say(b"NOOP") == OK
                    pusher.far_end.send(b"x")
                    assert len(other.reply()) > 8_000_000
                    for waiting in stage.server.clients:
                        assert len(waiting.reply()) > 8_000_000
                        assert waiting.say(b"QUIT") == b"221 Bye\r\n"
                        waiting.close()
        assert stage.server.errors == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@LOOPS
def test_a_child_that_holds_a_closed_connection_does_not_keep_the_loop_busy(
    loop: Any,
) -> None:
    """epoll goes on reporting a socket that is closed here and open in the child."""
    with on_stage(Server, loop=loop) as stage, stage.connect() as client:
        with holding_child(client):
            client.close()
            before = time.monotonic()
            stage.turn(6, timeout=0.05)
            # One turn closes the channel, one may find out; the others wait.
            assert time.monotonic() - before > 0.15
            assert stage.channels == []
            with stage.connect() as other:
                assert stage.say(other, b"NOOP") == OK


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="no epoll")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_loop_that_may_wait_for_ever_goes_on_though_a_child_holds_what_closed() -> (
    None
):
    """A dispatcher that is none of ours closes without a word to the loop."""
    map: dict[int, Any] = {}
    with ear(map) as other, ear(map) as closes:
        with holding_child(closes.far_end):
            closes.far_end.close()
            smtpd_compat.loop(None, map=map, count=1)
            assert list(map.values()) == [other]
            smtpd_compat.loop(None, map=map, count=1)  # epoll reports it all the same
            other.far_end.send(b"x")
            smtpd_compat.loop(None, map=map, count=1)
            assert other.heard == b"x"
    smtpd_compat.loop(map=map)


def test_idle_clients_are_left_though_the_loop_may_wait_for_ever() -> None:
    class Impatient(smtpd_compat.SMTPServer):
        idle_timeout = 0.2

    def loop(timeout: float, map: dict[int, Any]) -> None:
        smtpd_compat.loop(None, map=map)

    with serving(Impatient, loop=loop) as server:
        with socket.create_connection(address(server), timeout=20) as client:
            with client.makefile("rb") as heard:
                assert heard.readline().startswith(b"220 ")
                assert heard.readline().startswith(b"421 ")
                assert heard.readline() == b""


# A loop that is called again, and again


@contextlib.contextmanager
def selectors_made() -> Iterator[list[str]]:
    """What becomes of selectors: "made" and "closed", in order."""
    events: list[str] = []

    class Noted(selectors.DefaultSelector):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            events.append("made")

        def close(self) -> None:
            super().close()
            events.append("closed")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selectors, "DefaultSelector", Noted)
        yield events


def test_a_loop_called_again_goes_on_with_what_it_had() -> None:
    with selectors_made() as events:
        with on_stage(Server, loop=smtpd_compat.loop) as stage:
            with stage.connect() as client:
                for _ in range(20):
                    assert stage.say(client, b"NOOP") == OK
            stage.until(lambda: not stage.channels)
            assert events == ["made"]
            stage.server.close()
            stage.turn()
            assert events == ["made", "closed"]


def test_loops_over_many_maps_leave_one_selector_at_most() -> None:
    with selectors_made() as events:
        for _ in range(5):
            map: dict[int, Any] = {}
            with ear(map) as listener:
                listener.far_end.send(b"x")
                smtpd_compat.loop(timeout=1, map=map, count=1)
                assert listener.heard == b"x"
        assert events.count("closed") >= 4
        smtpd_compat.loop(map={})
    assert events.count("made") == events.count("closed")


def test_threads_do_not_take_each_others_selectors() -> None:
    def turn() -> None:
        map: dict[int, Any] = {}
        with ear(map) as listener:
            for _ in range(50):
                listener.heard = b""
                listener.far_end.send(b"x")
                smtpd_compat.loop(timeout=10, map=map, count=1)
                assert listener.heard == b"x"
            listener.close()
            smtpd_compat.loop(map=map)

    with selectors_made() as events:
        in_threads([turn] * 4)
    assert events.count("made") <= 8
    assert events.count("made") == events.count("closed")


def _no_descriptors() -> Any:
    raise OSError(errno.EMFILE, "Too many open files")


_EPOLL: Any = getattr(select, "epoll", None)


class _FullEpoll:
    """One that cannot watch more than one descriptor."""

    code = errno.ENOSPC

    def __init__(self) -> None:
        self._room = 1
        self._epoll = _EPOLL()
        for name in ("poll", "modify", "unregister", "close"):
            setattr(self, name, getattr(self._epoll, name))

    def register(self, fd: int, events: int) -> None:
        self._room -= 1
        if self._room < 0:
            raise OSError(self.code, "no room")
        self._epoll.register(fd, events)


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="no epoll")
@pytest.mark.parametrize("name", ["ENOSPC", "ENOMEM"])
def test_an_epoll_that_has_no_room_closes_nobody(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_FullEpoll, "code", getattr(errno, name))
    monkeypatch.setattr(select, "epoll", _FullEpoll)
    with on_stage(Server, loop=smtpd_compat.loop) as stage:
        with stage.connect() as client, stage.connect() as other:
            assert stage.say(client, b"NOOP") == OK
            assert stage.say(other, b"NOOP") == OK
            assert stage.server.errors == []


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="no epoll")
def test_a_monkey_patch_may_take_epoll_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(select, "epoll")
    with on_stage(Server, loop=smtpd_compat.loop) as stage:
        with stage.connect() as client:
            assert stage.say(client, b"NOOP") == OK


@pytest.mark.parametrize("poll", ["PollSelector", "SelectSelector"])
def test_without_a_descriptor_for_epoll_the_loop_waits_with_poll_or_select(
    poll: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if poll == "SelectSelector":
        monkeypatch.delattr(selectors, "PollSelector", raising=False)
    with on_stage(Server, loop=smtpd_compat.loop) as stage:
        with monkeypatch.context() as patch:
            patch.setattr(selectors, "DefaultSelector", _no_descriptors)
            with stage.connect() as client, stage.connect() as other:
                client.send(b"HELO x\r\n" + MESSAGE)
                stage.until(lambda: stage.server.messages)
                assert stage.say(other, b"NOOP") == OK
                # When there is one again, it is used.
                patch.undo()
                patch.setattr(_watching, "_MAKESHIFT_PAUSE", 0.0)
                with selectors_made() as events:
                    stage.until(lambda: events)
                    assert client.replies(5)[-1] == OK
                    assert stage.say(client, b"NOOP") == OK
                    stage.turn(3)
                    assert stage.say(other, b"NOOP") == OK
                    assert events == ["made"]


def test_a_better_selector_is_not_tried_for_in_every_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = []

    def fails() -> Any:
        tried.append(1)
        return _no_descriptors()

    monkeypatch.setattr(selectors, "DefaultSelector", fails)
    monkeypatch.setattr(_watching, "_MAKESHIFT_PAUSE", 100.0)
    map: dict[int, Any] = {}
    with ear(map):
        smtpd_compat.loop(timeout=0, map=map, count=9)
        assert tried == [1]
    smtpd_compat.loop(map=map)


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="no epoll")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_a_child_holds_is_got_rid_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    epoll = select.epoll
    monkeypatch.setattr(select, "epoll", lambda: made.append(1) or epoll())
    map: dict[int, Any] = {}
    with ear(map) as closes, ear(map):
        smtpd_compat.loop(timeout=0.0, map=map, count=2)
        far_end = closes.far_end.dup()
        with far_end, holding_child():
            far_end.send(b"x")  # which the child never reads
            closes.close()
            smtpd_compat.loop(timeout=0.0, map=map, count=9)
            assert len(made) == 2
            with ear(map):
                smtpd_compat.loop(timeout=0.0, map=map, count=9)
            assert len(made) == 2
    smtpd_compat.loop(map=map)


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="no epoll")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_channel_that_leaves_starts_nothing_afresh_though_a_child_may_hold_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = []
    epoll = select.epoll
    monkeypatch.setattr(select, "epoll", lambda: made.append(1) or epoll())
    with on_stage(Server, loop=smtpd_compat.loop) as stage:
        with stage.connect() as client:
            assert stage.say(client, b"NOOP") == OK
            child = os.fork()
            if not child:
                os._exit(0)
            os.waitpid(child, 0)
            (channel,) = stage.channels
            descriptor = channel._fileno
            client.send(b"QUIT\r\n")
            stage.until(lambda: not stage.channels)
        with Client(address(stage.server)) as other, only_free(descriptor, other):
            assert stage.hear(other).startswith(b"220 ")
            (channel,) = stage.channels
            assert channel._fileno == descriptor
            assert stage.say(other, b"NOOP") == OK
        assert made == [1]


def test_starting_afresh_makes_the_new_selector_before_it_closes_the_old() -> None:
    """Or another thread might take the only descriptor left."""
    with selectors_made() as events, on_stage(Server, loop=smtpd_compat.loop) as stage:
        with stage.connect() as client:
            (poller,) = _loop._of_thread.pollers.values()
            poller._start_afresh()
            assert events == ["made", "made", "closed"]
            assert stage.say(client, b"NOOP") == OK


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_was_opened_after_a_fork_starts_nothing_afresh() -> None:
    """No child can hold it, and starting afresh costs more the more are connected."""
    map: dict[int, Any] = {}
    with selectors_made() as events, ear(map):
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)
        for _ in range(3):
            with ear(map):
                smtpd_compat.loop(timeout=0.0, map=map, count=1)
            smtpd_compat.loop(timeout=0.0, map=map, count=1)
        assert events == ["made"]
    smtpd_compat.loop(map=map)


@pytest.mark.parametrize("between", [asyncore.loop, poll_loop])
def test_another_loop_may_serve_between_two_calls(between: Any) -> None:
    with on_stage(Server, loop=smtpd_compat.loop) as stage:
        with stage.connect() as client, stage.connect() as other:
            assert stage.say(client, b"NOOP") == OK
            stage._loop = between
            assert stage.say(client, b"NOOP") == OK
            other.send(b"QUIT\r\n")
            with stage.connect() as third:
                stage.turn(3)
                stage._loop = smtpd_compat.loop
                assert other.rest() == b"221 Bye\r\n"
                for each in (client, third):
                    assert stage.say(each, b"NOOP") == OK


def test_another_thread_may_take_the_map_over_and_give_it_back() -> None:
    with on_stage(Server, loop=smtpd_compat.loop) as stage:
        with stage.connect() as client, stage.connect() as other:
            assert stage.say(client, b"NOOP") == OK
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(asyncore, "close_all", lambda *args, **kwargs: None)
                with looping(stage.map, smtpd_compat.loop):
                    assert client.say(b"NOOP") == OK
                    assert other.say(b"QUIT") == b"221 Bye\r\n"
            for entry in list(stage.map.values()):
                if not hasattr(entry, "smtp_server") and entry is not stage.server:
                    entry.close()  # what has stopped the other thread
            with stage.connect() as third:
                for each in (client, third):
                    assert stage.say(each, b"NOOP") == OK
                readable = smtpd_compat.SMTPChannel.readable
                assert calls_of(readable, lambda: stage.turn(10)) <= 2


def test_a_loop_that_gets_its_map_back_knows_what_was_wanted_meanwhile() -> None:
    class Bulky(Channel):
        def smtp_XBULK(self, arg: Any) -> None:
            self.push("250 " + "x" * size)
            has_pushed.set()

    class Serves(Server):
        channel_class = Bulky

    size = 8 << 20
    has_pushed = threading.Event()
    with on_stage(Serves, loop=smtpd_compat.loop) as stage, stage.connect() as client:
        assert stage.say(client, b"NOOP") == OK
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(asyncore, "close_all", lambda *args, **kwargs: None)
            with looping(stage.map, smtpd_compat.loop):
                client.send(b"XBULK\r\n")
                assert has_pushed.wait(PATIENCE)
        for entry in list(stage.map.values()):
            if not hasattr(entry, "smtp_server") and entry is not stage.server:
                entry.close()  # what has stopped the other thread
        heard = 0
        while heard < size + len(b"250 \r\n"):
            stage.until(client.has_input)
            heard += len(client.socket.recv(1 << 20))
        assert stage.say(client, b"NOOP") == OK


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_does_not_take_the_parents_loop_apart() -> None:
    """It inherits the epoll, in which whatever it does counts for the parent too."""
    with on_stage(Server, loop=smtpd_compat.loop) as stage, stage.connect() as client:
        assert stage.say(client, b"NOOP") == OK
        child = os.fork()
        if not child:
            status = 1
            try:
                stage.turn(2)
                asyncore.close_all(stage.map)
                stage.turn()
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        assert stage.say(client, b"NOOP") == OK
        with stage.connect() as other:
            assert stage.say(other, b"NOOP") == OK


@contextlib.contextmanager
def only_free(descriptor: int, client: Client) -> Iterator[None]:
    """*descriptor* is the next that is given out; *client* does not keep it."""
    if client.socket.fileno() == descriptor:
        moved = os.dup(descriptor)
        client.socket.close()
        client.socket = socket.socket(fileno=moved)
        client.socket.settimeout(PATIENCE)
    taken = [os.dup(1)]
    while taken[-1] < descriptor:
        taken.append(os.dup(1))
    assert taken[-1] == descriptor
    os.close(taken.pop())
    try:
        yield
    finally:
        for each in taken:
            os.close(each)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@LOOPS
def test_what_a_child_holds_is_not_taken_for_the_next_one_at_its_descriptor(
    loop: Any,
) -> None:
    with on_stage(Server, loop=loop) as stage, stage.connect() as client:
        (channel,) = stage.channels
        descriptor = channel._fileno
        with holding_child(client):
            client.send(b"QUIT\r\n")
            stage.until(lambda: not stage.channels)
            with Client(address(stage.server)) as other, only_free(descriptor, other):
                assert stage.hear(other).startswith(b"220 ")
                (channel,) = stage.channels
                assert channel._fileno == descriptor
                assert stage.say(other, b"NOOP") == OK
                before = time.monotonic()
                stage.turn(3, timeout=0.05)
                assert time.monotonic() - before > 0.14


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "loop, is_used_again",
    [
        *itertools.product(
            [asyncore.loop, smtpd_compat.loop, own_loop_on_select], [False, True]
        ),
        pytest.param(
            own_loop_on_a_chosen_epoll,
            False,
            marks=pytest.mark.skipif(
                not hasattr(selectors, "EpollSelector"), reason="no epoll"
            ),
        ),
    ],
)
def test_what_a_child_holds_of_a_foreign_dispatcher_is_nobodys(
    loop: Any, is_used_again: bool
) -> None:
    """It closes before the loop hears of it."""
    map: dict[int, Any] = {}
    with ear(map) as closes, ear(map):
        loop(timeout=0.0, map=map, count=2)
        descriptor = closes.socket.fileno()
        far_end = closes.far_end.dup()
        with far_end, holding_child():
            far_end.send(b"x")  # which the child never reads
            closes.close()
            next_one = Ear(map) if is_used_again else None
            if next_one is not None:
                assert next_one.socket.fileno() == descriptor
            before = time.monotonic()
            for _ in range(5):
                loop(timeout=0.05, map=map, count=1)
            assert time.monotonic() - before > 0.14
            if next_one is not None:
                next_one.far_end.send(b"y")
                loop(timeout=1.0, map=map, count=1)
                assert next_one.heard == b"y"
                next_one.close()
    loop(map=map)


# What comes and goes


def test_a_newcomer_costs_the_same_beside_many_and_beside_few() -> None:
    asked = []
    for number in (2, 60):
        with on_stage(Server, loop=smtpd_compat.loop) as stage:
            with contextlib.ExitStack() as cleanup:
                for _ in range(number):
                    cleanup.enter_context(stage.connect())
                stage.turn(3)

                def newcomer() -> None:
                    cleanup.enter_context(stage.connect()).close()
                    stage.turn(3)

                asked.append(calls_of(_loop._Poller.update_interest, newcomer))
    # A turn more or less, in which the listening socket is asked.
    assert abs(asked[1] - asked[0]) < 6


@LOOPS
def test_what_leaves_the_map_without_a_word_hides_no_newcomer(loop: Any) -> None:
    with on_stage(Server, loop=loop) as stage:
        with stage.connect(), stage.connect() as client:
            first, _ = stage.channels
            del stage.map[first._fileno]
            with ear(stage.map) as listener:
                listener.far_end.send(b"x")
                stage.turn(2, timeout=1)
                assert listener.heard == b"x"
            assert stage.say(client, b"NOOP") == OK
            first.socket.close()


@LOOPS
def test_newcomers_may_have_the_descriptors_of_those_that_left_without_a_word(
    loop: Any,
) -> None:
    with on_stage(Server, loop=loop) as stage, contextlib.ExitStack() as cleanup:
        left = [cleanup.enter_context(stage.connect()) for _ in range(2)]
        assert stage.say(left[1], b"NOOP") == OK
        clients = []
        for channel in stage.channels:
            del stage.map[channel._fileno]
            near_end, far_end = socket.socketpair()
            cleanup.callback(far_end.close)
            os.dup2(near_end.fileno(), channel._fileno)
            near_end.close()
            near_end = socket.socket(fileno=channel.socket.detach())
            near_end.setblocking(False)
            Channel(stage.server, near_end, "nobody", map=stage.map)
            far_end.settimeout(PATIENCE)
            clients.append(far_end)
        for client in clients:
            assert client.recv(100).startswith(b"220 ")
            client.send(b"NOOP\r\n")
        stage.turn()
        for client in clients:
            assert client.recv(100) == OK


@LOOPS
def test_the_map_may_be_another_threads_to_change(loop: Any) -> None:
    with on_stage(Server, loop=loop) as stage, stage.connect() as client:
        done = threading.Event()

        def change() -> None:
            while not done.is_set():
                # Where the loop closes one at the same time, asyncore looks into the
                # map, and then finds it gone.
                with contextlib.suppress(KeyError), ear(stage.map), ear(stage.map):
                    pass

        def talk() -> None:
            try:
                for _ in range(30):
                    assert client.say(b"NOOP") == OK
            finally:
                done.set()

        with looping(stage.map, _unless_select_minds(loop)) as escaped:
            in_threads([change, talk])
            assert escaped == []


def _unless_select_minds(loop: Any) -> Any:
    """asyncore says EBADF of what is closed in the middle: so it always did."""

    def again(**kwargs: Any) -> None:
        while True:
            try:
                loop(**kwargs)
                return
            except (OSError, ValueError):
                if loop is smtpd_compat.loop:
                    raise

    return again


@pytest.mark.skipif(
    issubclass(selectors.DefaultSelector, selectors.SelectSelector),
    reason="select keeps what it waits for open",
)
def test_channels_may_be_closed_by_another_thread() -> None:
    loop = smtpd_compat.loop
    with on_stage(Server, loop=loop) as stage, contextlib.ExitStack() as cleanup:
        clients = [cleanup.enter_context(stage.connect()) for _ in range(8)]
        channels = stage.channels
        stage.turn(2)
        with looping(stage.map, loop) as escaped:
            in_threads([channel.close for channel in channels[1:]])
            for client in clients[1:]:
                assert client.rest() == b""
            with connected(stage.server) as other:
                for each in (clients[0], other):
                    assert each.say(b"NOOP") == OK
            assert escaped == []


class Nests(Ear):
    """What it does when it can *nests_in*, "reading" or "writing", is to run a loop."""

    def __init__(self, nests_in: str, map: dict[int, Any], errors: list[Any]) -> None:
        self.nests_in = nests_in
        self.errors = errors
        super().__init__(map)
        self.to_say = b"y"

    def handle_read(self) -> None:
        super().handle_read()
        self.run_a_loop("reading")

    def handle_write(self) -> None:
        assert self.to_say, "it has nothing to say, and did not ask"
        super().handle_write()
        self.run_a_loop("writing")

    def run_a_loop(self, what: str) -> None:
        if what == self.nests_in:
            smtpd_compat.loop(timeout=0, map=self._map, count=3)

    def handle_error(self) -> None:
        self.errors.append(sys.exc_info()[1])


@pytest.mark.parametrize("nests_in", ["reading", "writing"])
def test_a_loop_run_by_a_handler_serves_nobody_twice(nests_in: str) -> None:
    """What was ready in the outer loop may have been served in the inner one."""
    map: dict[int, Any] = {}
    errors: list[Any] = []
    with contextlib.ExitStack() as cleanup:
        nesting = [
            cleanup.enter_context(contextlib.closing(Nests(nests_in, map, errors)))
            for _ in "abc"
        ]
        for each in nesting:
            each.far_end.send(b"x")
        smtpd_compat.loop(timeout=0, map=map, count=2)
        assert [each.heard for each in nesting] == [b"x"] * 3
        assert [each.far_end.recv(9) for each in nesting] == [b"y"] * 3
    assert errors == []
    smtpd_compat.loop(map=map)


@LOOPS
def test_a_loop_goes_on_though_one_that_a_handler_ran_ended_with_an_exception(
    loop: Any,
) -> None:
    class Leaves(Ear):
        def handle_read(self) -> None:
            self.heard += self.recv(1)
            raise asyncore.ExitNow

    class Loops(Ear):
        def handle_read(self) -> None:
            self.heard += self.recv(1)
            leaves.far_end.send(b"x")
            with pytest.raises(asyncore.ExitNow):
                loop(timeout=1.0, map=map, count=3)

    map: dict[int, Any] = {}
    with contextlib.closing(Leaves(map)) as leaves:
        with contextlib.closing(Loops(map)) as loops:
            for heard in (b"x", b"xx"):
                loops.far_end.send(b"x")
                loop(timeout=0, map=map, count=2)
                assert loops.heard == leaves.heard == heard
    loop(map=map)


@LOOPS
def test_of_two_that_close_each_other_in_one_turn_one_is_left(loop: Any) -> None:
    class ClosesOthers(Channel):
        def smtp_XALONE(self, arg: Any) -> None:
            for channel in stage.channels:
                if channel is not self:
                    channel.close()
            self.push("250 alone")

    class Serves(Server):
        channel_class = ClosesOthers

    with on_stage(Serves, loop=loop) as stage:
        with stage.connect() as client, stage.connect() as other:
            for each, channel in zip((client, other), stage.channels):
                each.send(b"XALONE\r\n")
                select.select([channel.socket], [], [], PATIENCE)
            stage.turn()
            assert len(stage.channels) == 1
            assert sorted([client.reply(), other.reply()]) == [b"", b"250 alone\r\n"]
        assert stage.server.errors == []


# How long a turn waits


class Waits:
    """A loop whose selectors do not wait, but have the clock say that they have."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        #: What the selectors were to wait while nothing happened, in seconds.
        self.waited: list[float | None] = []
        #: How many selectors have been made.
        self.made = 0
        self.now = time.monotonic()
        selector: Any = selectors.DefaultSelector

        class Selector(selector):  # type: ignore[misc]
            def __init__(_) -> None:  # noqa: N805
                super().__init__()
                self.made += 1

            def select(_, timeout: float | None = None) -> Any:  # noqa: N805
                ready = super().select(0)
                if not ready:
                    self.now += timeout or 0.0
                    self.waited.append(timeout and round(timeout, 3))
                return ready

        monkeypatch.setattr(selectors, "DefaultSelector", Selector)
        tell(monkeypatch, lambda: self.now)

    def of(self, stage: Stage, timeout: float | None) -> list[float | None]:
        """What is waited for in one turn of at most *timeout*."""
        self.waited.clear()
        smtpd_compat.loop(timeout, map=stage.map, count=1)
        return list(self.waited)


@pytest.mark.parametrize(
    "idle_timeout, timeout, waits",
    [
        (None, 30.0, 30.0),
        (None, None, None),
        (None, 1e9, 1e6),
        (3.0, 30.0, 0.3),
        (3.0, None, 0.3),
        (3.0, 0.2, 0.2),
        (0.05, 30.0, 0.1),
        (1200.0, None, 30.0),
        (1200.0, 100.0, 30.0),
    ],
)
def test_a_turn_waits_until_some_client_may_have_been_idle_for_too_long(
    idle_timeout: Any, timeout: Any, waits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tenth of the server's idle_timeout, but 0.1 seconds at the least."""
    loop = Waits(monkeypatch)
    with on_stage(Server, loop=smtpd_compat.loop) as stage:
        stage.server.idle_timeout = idle_timeout
        assert loop.of(stage, timeout) == [waits]
        if waits == timeout is not None:
            assert loop.of(stage, timeout) == [waits]
            assert loop.made == 1


@pytest.mark.parametrize("idle_timeouts", [(3.0, 2.0), (2.0, 3.0), (None, 2.0)])
def test_of_several_servers_the_least_patient_ends_the_wait(
    idle_timeouts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = Waits(monkeypatch)
    with on_stage(Server, loop=smtpd_compat.loop) as stage:
        other = Server(("127.0.0.1", 0), None, map=stage.map)
        stage.server.idle_timeout, other.idle_timeout = idle_timeouts
        assert loop.of(stage, 30.0) == [0.2]
        other.idle_timeout = None
        first = idle_timeouts[0]
        stage.turn(2, timeout=1.0)
        assert loop.of(stage, 1.0) == [first / 10 if first else 1.0]


@pytest.mark.parametrize("number", [0, 1])
def test_a_server_that_could_not_accept_tries_again_after_half_a_second(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept = asyncore.dispatcher.accept

    def fails(server: Any) -> Any:
        if server is servers[number]:
            raise OSError(errno.EMFILE, "Too many open files")
        return accept(server)

    loop = Waits(monkeypatch)
    with on_stage(Server, loop=smtpd_compat.loop) as stage:
        servers = [stage.server, Server(("127.0.0.1", 0), None, map=stage.map)]
        with Client(address(servers[number])) as client:
            with monkeypatch.context() as patch:
                patch.setattr(asyncore.dispatcher, "accept", fails)
                assert loop.of(stage, 30.0) == []
                # The first look finds out that the server pauses.
                assert loop.of(stage, 30.0) == [0.1, 0.5]
            assert stage.hear(client).startswith(b"220 ")
        stage.until(lambda: not stage.channels)
        stage.turn(timeout=1.0)
        assert loop.of(stage, 30.0) == [30.0]


class Pool:
    """What several dispatchers have in common, and is to be called at its time."""

    def __init__(self, alarm: float) -> None:
        self.alarm: float | None = alarm
        self.swept = 0

    def sweep(self, now: float) -> None:
        self.alarm = None
        self.swept += 1


class OfPool(Ear):
    _smtpd_notifies = True
    poller: Any = None
    pool: Any = None


def test_a_pool_has_its_alarm_while_it_has_a_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = Waits(monkeypatch)
    pool = Pool(loop.now + 5.0)
    map: dict[int, Any] = {}
    stage = Stage(None, map, smtpd_compat.loop)
    with ear(map), contextlib.ExitStack() as cleanup:
        sessions = [
            cleanup.enter_context(contextlib.closing(OfPool(map))) for _ in "ab"
        ]
        for session in sessions:
            session.pool = pool
        assert loop.of(stage, 3.0) == [3.0]
        sessions.pop().close()
        assert loop.of(stage, 30.0) == [2.0]
        assert loop.of(stage, 30.0) == [30.0]
        assert pool.swept == 1
        pool.alarm = loop.now + 5.0
        sessions.pop().close()
        assert loop.of(stage, 30.0) == [30.0]
        assert pool.swept == 1
    smtpd_compat.loop(map=map)


def test_a_server_that_could_not_accept_tries_again_when_a_client_has_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(server: Any) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    loop = Waits(monkeypatch)
    with on_stage(Server, loop=smtpd_compat.loop) as stage, stage.connect() as client:
        with Client(address(stage.server)) as other:
            with monkeypatch.context() as patch:
                patch.setattr(asyncore.dispatcher, "accept", fails)
                assert loop.of(stage, 0.3) == []
                assert loop.of(stage, 0.3) == [0.1, 0.2]
            client.close()
            assert loop.of(stage, 30.0) == []
            assert stage.channels == []
            assert loop.of(stage, 30.0) == []
            assert len(stage.channels) == 1
            assert stage.hear(other).startswith(b"220 ")


def test_where_there_are_no_servers_a_turn_waits_without_a_break(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = Waits(monkeypatch)
    map: dict[int, Any] = {}
    with ear(map) as listener:
        stage = Stage(None, map, smtpd_compat.loop)
        for timeout in (30.0, 0.05, None):
            listener.far_end.send(b"x")
            assert loop.of(stage, timeout) == []
            assert loop.of(stage, timeout) == [timeout]
    smtpd_compat.loop(map=map)


def test_after_a_busy_turn_the_servers_are_asked_a_tenth_of_a_second_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = Waits(monkeypatch)
    with on_stage(Server, loop=smtpd_compat.loop) as stage, stage.connect() as client:
        assert loop.of(stage, 30.0)[-1] > 29.0  # type: ignore[operator]
        client.send(b"NOOP\r\n")
        assert loop.of(stage, 30.0) == []
        assert loop.of(stage, 30.0) == [0.1, 29.9]
        assert loop.of(stage, 0.05) == [0.05]


@pytest.mark.parametrize("size", [10, 8 << 20])
def test_a_channel_that_has_sent_all_does_not_keep_the_loop_busy(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = Waits(monkeypatch)
    with on_stage(Server, loop=smtpd_compat.loop) as stage, stage.connect() as client:
        (channel,) = stage.channels
        channel.push("250 " + "x" * size)
        heard = 0
        while heard < size + len(b"250 \r\n"):
            stage.until(client.has_input)
            heard += len(client.socket.recv(1 << 20))
        stage.turn(2)
        assert sum(loop.of(stage, 30.0)) == 30.0  # type: ignore[arg-type]
        assert stage.say(client, b"NOOP") == OK


# Servers


def test_a_busy_loop_asks_its_server_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    ask = smtpd_compat.SMTPServer.readable
    monkeypatch.setattr(
        Server, "_smtpd_idle_timeout", lambda server: asked.append(ask(server))
    )
    with on_stage(Server, loop=smtpd_compat.loop) as stage, stage.connect() as client:
        asked.clear()
        began = time.monotonic()
        for _ in range(200):
            assert stage.say(client, b"NOOP") == OK
        took = time.monotonic() - began
    assert len(asked) <= 2 + took / _loop._LOOK_PAUSE


def test_a_server_with_a_readable_of_its_own_is_asked_in_every_turn() -> None:
    class Own(Server):
        asked = 0

        def readable(self) -> bool:
            self.asked += 1
            return super().readable()

    with on_stage(Own, loop=smtpd_compat.loop) as stage, stage.connect() as client:
        before = stage.server.asked
        for _ in range(50):
            assert stage.say(client, b"NOOP") == OK
        assert stage.server.asked >= before + 50


def test_an_idle_timeout_set_by_a_handler_holds_for_a_loop_that_waits() -> None:
    class Impatient(Server):
        def process_message(self, *args: Any, **kwargs: Any) -> None:
            self.idle_timeout = 0.2

    with serving(Impatient, loop=smtpd_compat.loop) as server:
        with connected(server) as client:
            client.say(b"HELO x")
            client.send(MESSAGE)
            assert client.replies(4)[-1] == OK
            assert client.reply().startswith(b"421 Error: timeout exceeded")


def test_a_turn_lasts_its_time_though_a_server_is_asked_meanwhile() -> None:
    with on_stage(Server, loop=smtpd_compat.loop) as stage, stage.connect() as client:
        assert stage.say(client, b"NOOP") == OK
        lasts = 3 * _loop._LOOK_PAUSE
        began = time.monotonic()
        stage.turn(timeout=lasts)
        assert time.monotonic() - began >= lasts * 0.99
