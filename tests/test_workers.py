"""Worker threads: the loop goes on, replies keep order, nothing is left behind."""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import sys
import threading
import time
import weakref
from typing import Any
from unittest import mock

import pytest

import smtpd_compat
from smtpd_compat import asyncore
from smtpd_compat._connection._workers import WorkerPool, may_use_workers
from tests.support.clock import later
from tests.support.conversing import FAILED, GO_ON, MESSAGE, OK
from tests.support.descriptors import descriptors, no_descriptors_left, none_below
from tests.support.fresh import fresh
from tests.support.keeping import Channel, KeepsLog, Server
from tests.support.loops import LOOPS
from tests.support.serving import address, serving
from tests.support.talking import PATIENCE, Client, connected, on_stage


class Working(KeepsLog, smtpd_compat.SMTPServer):
    """Its handler waits, on a worker's thread, until the test lets it go on."""

    worker_threads = 2
    channel_class = Channel
    outcome: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.errors: list[str] = []
        self.messages: list[Any] = []
        self.threads: list[threading.Thread] = []
        self.calls: list[threading.Event] = []
        self.started = threading.Semaphore(0)
        self.may_end = threading.Semaphore(0)
        super().__init__(*args, **kwargs)

    def process_message(
        self, peer: Any, mailfrom: Any, rcpttos: Any, data: Any, **kwargs: Any
    ) -> Any:
        has_ended = threading.Event()
        self.calls.append(has_ended)
        self.threads.append(threading.current_thread())
        self.started.release()
        try:
            assert self.may_end.acquire(timeout=PATIENCE)
            self.messages.append(data)
            if isinstance(self.outcome, BaseException):
                raise self.outcome
            return self.outcome
        finally:
            has_ended.set()

    def begun(self) -> None:
        """Wait until one more message is in hand."""
        assert self.started.acquire(timeout=PATIENCE)

    def has_begun(self) -> bool:
        """Whether one more message is in hand."""
        return self.started.acquire(blocking=False)

    def finished(self) -> None:
        """Wait until the handler has nothing in hand."""
        for has_ended in self.calls:
            assert has_ended.wait(PATIENCE)

    def joined(self) -> None:
        """Wait for the ends of all threads that had a message."""
        for thread in self.threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()


def quick(server: Working) -> None:
    """Have the handler wait for nothing any more."""
    for _ in range(10_000):
        server.may_end.release()


@LOOPS
def test_others_are_served_while_a_worker_has_a_message(loop: Any) -> None:
    with serving(Working, loop=loop) as server:
        with connected(server) as client, connected(server) as other:
            client.send(b"HELO x\r\n" + MESSAGE)
            server.begun()
            assert other.say(b"NOOP") == OK
            assert server.threads[0].name == "smtpd_compat worker"
            server.may_end.release()
            assert client.replies(5)[-1] == OK
        server.finished()
    assert (server.messages, server.errors) == ([b"hello"], [])


@LOOPS
def test_no_command_is_read_until_the_reply_is_out(loop: Any) -> None:
    with on_stage(Working, loop=loop) as stage, stage.connect() as client:
        server = stage.server
        client.send(b"HELO x\r\n" + MESSAGE + b"NOOP\r\n" + MESSAGE)
        client.send(b"FOO\r\nQUIT\r\nNOOP\r\n")
        assert [stage.hear(client) for _ in range(4)][-1] == GO_ON
        server.begun()
        stage.turn(5, timeout=0.01)
        assert not client.has_input()
        server.outcome = "250 first"
        server.may_end.release()
        assert stage.hear(client) == b"250 first\r\n"
        assert stage.hear(client) == OK
        assert [stage.hear(client) for _ in range(3)][-1] == GO_ON
        server.begun()
        stage.turn(5, timeout=0.01)
        assert not client.has_input()
        server.outcome = "250 second"
        server.may_end.release()
        codes = [line[:3] for line in stage.rest(client).splitlines()]
        assert codes == [b"250", b"500", b"221"]
        server.finished()
        assert server.errors == []


@LOOPS
def test_the_loop_is_woken_and_does_not_poll(loop: Any) -> None:
    """With nothing else to do it waits for 30 s, longer than this test would."""
    turns = []

    class Counts(Working):
        def readable(self) -> bool:
            turns.append(1)
            return super().readable()

    with serving(Counts, loop=loop) as server, connected(server) as client:
        client.send(b"HELO x\r\n" + MESSAGE)
        client.replies(4)
        server.begun()
        before = len(turns)
        server.may_end.release()
        assert client.reply() == OK
        assert len(turns) - before < 10
        server.finished()


@LOOPS
def test_no_more_messages_are_in_hand_than_there_are_threads(loop: Any) -> None:
    with serving(Working, loop=loop) as server, contextlib.ExitStack() as cleanup:
        clients = [cleanup.enter_context(connected(server)) for _ in range(5)]
        for client in clients:
            client.send(b"HELO x\r\n" + MESSAGE)
            assert client.replies(4)[-1] == GO_ON
        server.begun()
        server.begun()
        # All five have been read, or this would not be answered; two are in hand.
        with connected(server) as other:
            assert other.say(b"NOOP") == OK
        assert not server.started.acquire(blocking=False)
        assert len(server.threads) == 2
        quick(server)
        assert [client.reply() for client in clients] == [OK] * 5
        server.finished()
    assert len(set(server.threads)) <= 5
    assert len(server.messages) == 5


@LOOPS
def test_every_acknowledged_message_was_delivered_once(loop: Any) -> None:
    class Four(Working):
        worker_threads = 4

    with serving(Four, loop=loop) as server, contextlib.ExitStack() as cleanup:
        quick(server)
        clients = [cleanup.enter_context(connected(server)) for _ in range(20)]
        for number, client in enumerate(clients):
            client.send(b"HELO x\r\n")
            for message in range(10):
                text = b"%d.%d" % (number, message)
                client.send(MESSAGE.replace(b"hello", text))
            client.send(b"QUIT\r\n")
        codes = [client.codes() for client in clients]
        server.finished()
    assert codes == [[b"250"] + [b"250", b"250", b"354", b"250"] * 10 + [b"221"]] * 20
    sent = {
        b"%d.%d" % (number, message) for number in range(20) for message in range(10)
    }
    assert len(server.messages) == 200
    assert set(server.messages) == sent


@LOOPS
def test_with_nothing_in_hand_the_map_holds_the_server_and_its_clients(
    loop: Any,
) -> None:
    with on_stage(Working, loop=loop) as stage, stage.connect() as client:
        entries = set(stage.map)
        quick(stage.server)
        client.send(b"HELO x\r\n")
        stage.hear(client)
        for _ in range(3):
            client.send(MESSAGE)
            assert [stage.hear(client) for _ in range(4)][-1] == OK
            assert set(stage.map) == entries


@LOOPS
def test_threads_and_what_wakes_the_loop_stay_for_the_next_message(
    loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs: list[Any] = []

    def socketpair(*args: Any) -> Any:
        pairs.append(args)
        return original(*args)

    original = socket.socketpair
    with on_stage(Working, loop=loop) as stage, stage.connect() as client:
        monkeypatch.setattr(smtpd_compat.socket, "socketpair", socketpair)
        quick(stage.server)
        client.send(b"HELO x\r\n" + MESSAGE * 20)
        for _ in range(81):
            stage.hear(client)
    threads = stage.server.threads
    # An answer is out before the thread that brought it has looked for the next call.
    assert (len(threads), len(pairs)) == (20, 1)
    assert len(set(threads)) <= 2
    stage.server.joined()


@LOOPS
def test_a_thread_ends_some_time_after_its_last_message(
    loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smtpd_compat._connection._workers._IDLE", 0.01)
    with on_stage(Working, loop=loop) as stage, stage.connect() as client:
        quick(stage.server)
        client.send(b"HELO x\r\n")
        stage.hear(client)
        for _ in range(3):
            client.send(MESSAGE)
            assert [stage.hear(client) for _ in range(4)][-1] == OK
            stage.server.joined()
        assert len(set(stage.server.threads)) == 3


@LOOPS
def test_a_closed_server_leaves_no_thread(loop: Any) -> None:
    with on_stage(Working, loop=loop) as stage, stage.connect() as client:
        quick(stage.server)
        client.send(b"HELO x\r\n" + MESSAGE)
        assert [stage.hear(client) for _ in range(5)][-1] == OK
        (thread,) = stage.server.threads
        assert thread.is_alive()
        assert thread.daemon
        stage.server.close()
        assert not thread.is_alive()
        # Its clients are served on.
        client.send(MESSAGE)
        assert [stage.hear(client) for _ in range(4)][-1] == OK
        assert not any(thread.is_alive() for thread in stage.server.threads)
        assert list(stage.map.values()) == stage.channels


@LOOPS
def test_closing_a_server_waits_for_the_ends_of_all_its_threads(
    loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined: list[threading.Thread] = []
    join = threading.Thread.join

    def noted(thread: threading.Thread, timeout: float | None = None) -> None:
        joined.append(thread)
        join(thread, timeout)

    class Three(Working):
        worker_threads = 3

    with on_stage(Three, loop=loop) as stage, contextlib.ExitStack() as cleanup:
        clients = [cleanup.enter_context(stage.connect()) for _ in range(3)]
        for client in clients:
            client.send(b"HELO x\r\n" + MESSAGE)
            stage.until(stage.server.has_begun)
        quick(stage.server)
        for client in clients:
            assert [stage.hear(client) for _ in range(5)][-1] == OK
        monkeypatch.setattr(threading.Thread, "join", noted)
        stage.server.close()
        assert set(joined) == set(stage.server.threads)
        assert len(set(joined)) == 3
        assert not any(thread.is_alive() for thread in joined)


@LOOPS
def test_one_answer_of_two_does_not_keep_the_loop_busy(loop: Any) -> None:
    with on_stage(Working, loop=loop) as stage:
        with stage.connect() as client, stage.connect() as other:
            for each in (client, other):
                each.send(b"HELO x\r\n" + MESSAGE)
                for _ in range(4):
                    stage.hear(each)
                stage.server.begun()
            stage.server.may_end.release()
            stage.until(lambda: client.has_input() or other.has_input())
            before = time.monotonic()
            stage.turn(2, timeout=0.05)
            assert time.monotonic() - before > 0.08
            stage.server.may_end.release()
            assert (stage.hear(client), stage.hear(other)) == (OK, OK)
            stage.server.finished()


# Failures


@pytest.mark.parametrize(
    "outcome", [ValueError("no"), 250, MemoryError(), OSError(32, "no")], ids=repr
)
@LOOPS
def test_a_handler_that_fails_in_a_worker_is_answered_451(
    loop: Any, outcome: Any
) -> None:
    with serving(Working, loop=loop) as server, connected(server) as client:
        server.outcome = outcome
        quick(server)
        client.send(b"HELO x\r\n" + MESSAGE)
        assert client.replies(5)[-1] == FAILED
        assert client.say(b"RCPT TO:<c@d>") == b"503 Error: need MAIL command\r\n"
        server.outcome = None
        client.send(MESSAGE)
        assert client.replies(4)[-1] == OK
        server.finished()
    assert len(server.errors) == 1


@LOOPS
def test_each_of_two_pipelined_failures_in_workers_is_answered(loop: Any) -> None:
    with serving(Working, loop=loop) as server, connected(server) as client:
        server.outcome = ValueError("no")
        quick(server)
        client.send(b"HELO x\r\n" + MESSAGE * 2 + b"NOOP\r\nQUIT\r\n")
        assert client.codes() == (
            [b"250"] + [b"250", b"250", b"354", b"451"] * 2 + [b"250", b"221"]
        )
        server.finished()


@LOOPS
def test_an_overridden_handle_error_hears_of_a_workers_failure(loop: Any) -> None:
    class Quiet(Channel):
        def handle_error(self) -> None:
            self.smtp_server.errors.append("mine")

    class Fails(Working):
        channel_class = Quiet
        # The rule: who sets no worker_threads of its own keeps the parent's.
        outcome = ValueError("no")

    with serving(Fails, loop=loop) as server, connected(server) as client:
        quick(server)
        client.send(b"HELO x\r\n" + MESSAGE * 2 + b"NOOP\r\nQUIT\r\n")
        assert client.codes() == (
            [b"250"] + [b"250", b"250", b"354", b"451"] * 2 + [b"250", b"221"]
        )
        server.finished()
    assert server.errors == ["mine", "mine"]


@pytest.mark.parametrize("leaves", [asyncore.ExitNow, SystemExit, KeyboardInterrupt])
@LOOPS
def test_what_leaves_the_loop_by_intent_leaves_it_from_a_worker_too(
    loop: Any, leaves: type[BaseException]
) -> None:
    with on_stage(Working, loop=loop) as stage, stage.connect() as client:
        stage.server.outcome = leaves()
        stage.server.may_end.release()
        client.send(b"HELO x\r\n" + MESSAGE)
        with pytest.raises(leaves):
            stage.until(lambda: False)
        stage.server.finished()
        assert stage.server.errors == []
        # Who goes on with the loop finds it in order.
        stage.turn(2)
        assert set(stage.map.values()) == {stage.server, *stage.channels}


@LOOPS
def test_without_a_descriptor_to_wake_the_loop_the_client_may_try_again(
    loop: Any,
) -> None:
    with on_stage(Working, loop=loop) as stage, stage.connect() as client:
        quick(stage.server)
        threads = threading.active_count()
        client.send(b"HELO x\r\n" + MESSAGE[:-3])
        for _ in range(4):
            stage.hear(client)
        (channel,) = stage.channels
        stage.turn(2, timeout=0.01)
        client.send(MESSAGE[-3:])
        with no_descriptors_left():
            while not client.has_input():
                asyncore.read(channel)
        assert client.reply() == FAILED
        assert set(stage.map.values()) == {stage.server, channel}
        assert threading.active_count() == threads
        client.send(MESSAGE + b"NOOP\r\n")
        assert [stage.hear(client) for _ in range(5)][-2:] == [OK, OK]
        assert len(stage.server.messages) == 1


def test_where_select_cannot_hold_the_waker_the_client_may_try_again() -> None:
    with descriptors(2048), on_stage(Working) as stage, stage.connect() as client:
        quick(stage.server)
        with none_below(1024):
            client.send(b"HELO x\r\n" + MESSAGE + b"NOOP\r\n")
            replies = [stage.hear(client) for _ in range(6)]
            assert replies[-2:] == [FAILED, OK]
        assert set(stage.map.values()) == {stage.server, *stage.channels}
        client.send(MESSAGE)
        assert [stage.hear(client) for _ in range(4)][-1] == OK
        stage.server.finished()
        assert len(stage.server.messages) == 1


@LOOPS
def test_what_wakes_the_loop_is_made_anew_where_it_was_closed(loop: Any) -> None:
    """Though it had been told already that the loop is to wake."""
    with on_stage(Working, loop=loop) as stage:
        quick(stage.server)
        with stage.connect() as client:
            client.send(b"HELO x\r\n" + MESSAGE)
            stage.until(lambda: stage.server.calls)
            stage.server.finished()
        for entry in list(stage.map.values()):
            if entry is not stage.server:
                entry.close()
        with stage.connect() as client:
            client.send(b"HELO x\r\n" + MESSAGE)
            assert [stage.hear(client) for _ in range(5)][-1] == OK
        assert len(stage.server.messages) == 2


class NoThreads:
    """Has the starts of workers fail, but for the first *few*."""

    def __init__(
        self, patch: pytest.MonkeyPatch, where: str, error: BaseException, few: int = 0
    ) -> None:
        self.left = few
        self._error = error
        self._original = getattr(threading.Thread, where)
        patch.setattr(threading.Thread, where, lambda *args, **kw: self(*args, **kw))

    def __call__(self, thread: threading.Thread, *args: Any, **kwargs: Any) -> None:
        if "smtpd_compat worker" in (kwargs.get("name"), getattr(thread, "_name", "")):
            if not self.left:
                raise self._error
            self.left -= 1
        self._original(thread, *args, **kwargs)


NO_THREADS = pytest.mark.parametrize(
    "where, error",
    [
        ("start", RuntimeError("can't start new thread")),
        ("start", MemoryError()),
        ("start", OSError(11, "no")),
        ("__init__", MemoryError()),
    ],
    ids=repr,
)


@NO_THREADS
def test_without_a_thread_the_client_may_try_again(
    where: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    with on_stage(Working) as stage, stage.connect() as client:
        quick(stage.server)
        with monkeypatch.context() as patch:
            NoThreads(patch, where, error)
            client.send(b"HELO x\r\n" + MESSAGE * 3 + b"NOOP\r\n")
            replies = [stage.hear(client) for _ in range(14)]
            assert replies[4::4] == [FAILED] * 3
            assert replies[-1] == OK
        assert set(stage.map.values()) == {stage.server, *stage.channels}
        for _ in range(3):
            client.send(MESSAGE + b"NOOP\r\n")
            assert [stage.hear(client) for _ in range(5)][-2:] == [OK, OK]
        assert len(stage.server.messages) == 3


@NO_THREADS
def test_without_another_thread_the_one_there_is_does_the_work(
    where: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    NoThreads(monkeypatch, where, error, few=1)
    with serving(Working) as server:
        with connected(server) as client, connected(server) as other:
            client.send(b"HELO x\r\n" + MESSAGE)
            server.begun()
            other.send(b"HELO x\r\n" + MESSAGE)
            assert other.replies(4)[-1] == GO_ON
            quick(server)
            assert (client.replies(5)[-1], other.reply()) == (OK, OK)
    assert (len(server.messages), server.errors) == (2, [])


def test_after_failed_starts_as_many_threads_run_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving(Working) as server, contextlib.ExitStack() as cleanup:
        clients = [cleanup.enter_context(connected(server)) for _ in range(4)]
        with monkeypatch.context() as patch:
            NoThreads(patch, "start", MemoryError())
            for client in clients:
                client.send(b"HELO x\r\n" + MESSAGE)
                assert client.replies(5)[-1] == FAILED
        for client in clients:
            client.send(MESSAGE)
            assert client.replies(3)[-1] == GO_ON
        server.begun()
        server.begun()
        assert not server.started.acquire(blocking=False)
        quick(server)
        assert [client.reply() for client in clients] == [OK] * 4
        assert len(set(server.threads)) == 2


@pytest.mark.parametrize("begins", ["before", "after"])
def test_a_start_that_is_interrupted_leaves_the_loop_and_the_count_right(
    begins: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread may have begun, or may begin later: then it takes no calls."""
    start = threading.Thread.start
    late: list[threading.Thread] = []

    def interrupted(thread: threading.Thread) -> None:
        late.append(thread)
        if begins == "before":
            start(thread)
        raise KeyboardInterrupt

    with on_stage(Working) as stage, stage.connect() as client:
        quick(stage.server)
        client.send(b"HELO x\r\n" + MESSAGE)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", interrupted)
            with pytest.raises(KeyboardInterrupt):
                stage.until(lambda: False)
        if begins == "after":
            start(late[0])
            late[0].join(PATIENCE)
            assert not late[0].is_alive()
        assert set(stage.map.values()) == {stage.server, *stage.channels}
        with stage.connect() as other:
            other.send(b"HELO x\r\n" + MESSAGE * 3)
            assert [stage.hear(other) for _ in range(13)][4::4] == [OK] * 3
        assert len(set(stage.server.threads)) <= 2


@LOOPS
def test_a_thread_that_has_waited_long_enough_takes_a_call_that_is_on_its_way(
    loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def looks_before_there_is_a_call(thread: threading.Thread) -> None:
        start(thread)
        if thread.name == "smtpd_compat worker":
            thread.join(0.05)

    monkeypatch.setattr("smtpd_compat._connection._workers._IDLE", 0.0)
    monkeypatch.setattr(threading.Thread, "start", looks_before_there_is_a_call)
    with on_stage(Working, loop=loop) as stage, stage.connect() as client:
        quick(stage.server)
        client.send(b"HELO x\r\n" + MESSAGE)
        assert [stage.hear(client) for _ in range(5)][-1] == OK
        stage.server.joined()


@LOOPS
def test_a_command_that_turns_the_loop_brings_the_answer_to_another_message(
    loop: Any,
) -> None:
    """The turn that it came from then finds nothing left to read."""

    class Turns(Channel):
        def smtp_XTURN(self, arg: Any) -> None:
            loop(timeout=0.01, map=stage.map, count=1)
            self.push("250 turned")

    class Serves(Working):
        channel_class = Turns

    with on_stage(Serves, loop=loop) as stage, contextlib.ExitStack() as cleanup:
        other, *clients = (cleanup.enter_context(stage.connect()) for _ in range(3))
        known = set(stage.map)
        for client in clients:
            client.send(b"HELO x\r\n" + MESSAGE)
            assert [stage.hear(client) for _ in range(4)][-1] == GO_ON
            stage.until(stage.server.has_begun)
        (wakes,) = set(stage.map) - known
        stage.server.may_end.release()
        other.send(b"XTURN\r\n")
        for descriptor in (wakes, stage.channels[0].socket):
            assert select.select([descriptor], [], [], PATIENCE)[0]
        stage.turn(1, timeout=1)
        assert stage.hear(other) == b"250 turned\r\n"
        quick(stage.server)
        assert [stage.hear(client) for client in clients] == [OK, OK]
        assert set(stage.map) == known


class Failure(Exception):
    """For handlers to raise."""


counts_references = pytest.mark.skipif(
    sys.implementation.name != "cpython", reason="frees things when it likes to"
)


@counts_references
@pytest.mark.parametrize("end", ["answered", "closed"])
@LOOPS
def test_what_a_handler_raises_is_not_kept(loop: Any, end: str) -> None:
    """Neither it nor, by way of its traceback, the message."""
    kept: list[Any] = []

    class Fails(Working):
        worker_threads = 1

        def process_message(self, *args: Any, **kwargs: Any) -> None:
            error = Failure()
            kept.append(weakref.ref(error))
            try:
                super().process_message(*args, **kwargs)
                raise error
            finally:
                del error

    gc.collect()
    gc.disable()
    try:
        with on_stage(Fails, loop=loop) as stage, stage.connect() as client:
            client.send(b"HELO x\r\n" + MESSAGE)
            for _ in range(4):
                stage.hear(client)
            stage.server.begun()
            if end == "closed":
                stage.channels[0].close()
            quick(stage.server)
            if end == "answered":
                assert stage.hear(client) == FAILED
            stage.until(lambda: set(stage.map) == _descriptors(stage))
            assert [error() for error in kept] == [None]
    finally:
        gc.enable()


def _descriptors(stage: Any) -> set[int]:
    return {entry.socket.fileno() for entry in (stage.server, *stage.channels)}


@counts_references
def test_a_thread_that_waits_keeps_no_message() -> None:
    class Sink(Server):
        worker_threads = 1

    counts = []
    for cls in (Server, Sink):
        with on_stage(cls) as stage, stage.connect() as client:
            client.send(b"HELO x\r\n" + MESSAGE)
            assert [stage.hear(client) for _ in range(5)][-1] == OK
            if cls is Sink:
                assert "smtpd_compat worker" in map(str, _names())
            data = stage.server.messages.pop().data
            counts.append(sys.getrefcount(data))
    assert counts[0] == counts[1]


def _names() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


# Ends


@LOOPS
def test_what_an_answer_raises_leaves_the_loop_and_the_others_are_brought(
    loop: Any,
) -> None:
    map: dict[int, Any] = {}
    pool = WorkerPool(1, map)
    brought: list[str] = []

    def answered(outcome: Any) -> None:
        brought.append(outcome())
        if len(brought) == 1:
            raise asyncore.ExitNow

    try:
        pool.submit(lambda: "first", answered)
        pool.submit(lambda: "second", answered)
        with pytest.raises(asyncore.ExitNow):
            loop(map=map)
        loop(map=map)  # which ends: nothing is in hand
        assert brought == ["first", "second"]
    finally:
        pool.close()


@LOOPS
def test_results_that_come_together_are_brought_together(loop: Any) -> None:
    map: dict[int, Any] = {}
    pool = WorkerPool(1, map)
    brought: list[str] = []
    have_ended = threading.Event()
    try:
        for name in ("first", "second", "third"):
            pool.submit(
                lambda name=name: name, lambda outcome: brought.append(outcome())
            )
        pool.submit(have_ended.set, lambda outcome: None)
        assert have_ended.wait(PATIENCE)
        loop(map=map, count=1)
        assert brought[:3] == ["first", "second", "third"]
        loop(map=map)
    finally:
        pool.close()
    assert map == {}


@LOOPS
@pytest.mark.parametrize("end", ["close", "vanish"])
def test_a_client_that_goes_while_a_worker_has_its_message_leaves_nothing(
    end: str, loop: Any
) -> None:
    with on_stage(Working, loop=loop) as stage:
        client = stage.connect()
        client.send(b"HELO x\r\n" + MESSAGE + b"NOOP\r\n" * 5)
        for _ in range(4):
            stage.hear(client)
        stage.server.begun()
        getattr(client, end)()
        stage.turn(3, timeout=0.01)
        stage.server.may_end.release()
        stage.until(lambda: list(stage.map.values()) == [stage.server])
        stage.server.finished()
        assert (stage.server.messages, stage.server.errors) == ([b"hello"], [])


@LOOPS
def test_a_client_that_ends_its_side_hears_what_became_of_its_message(
    loop: Any,
) -> None:
    with on_stage(Working, loop=loop) as stage, stage.connect() as client:
        client.send(b"HELO x\r\n" + MESSAGE)
        client.no_more()
        for _ in range(4):
            stage.hear(client)
        stage.server.begun()
        stage.turn(3, timeout=0.01)
        stage.server.may_end.release()
        assert stage.rest(client) == OK
        stage.server.finished()


@LOOPS
def test_a_server_closed_while_a_worker_has_a_message_leaves_nothing(loop: Any) -> None:
    with on_stage(Working, loop=loop) as stage:
        with stage.connect() as client:
            client.send(b"HELO x\r\n" + MESSAGE + b"NOOP\r\n")
            for _ in range(4):
                stage.hear(client)
            stage.server.begun()
            stage.server.close()
            stage.turn(3, timeout=0.01)
            stage.server.may_end.release()
            assert [stage.hear(client), stage.hear(client)] == [OK, OK]
        loop(map=stage.map)  # ends, since nothing is left
        stage.server.joined()


@LOOPS
def test_everything_closed_while_a_worker_has_a_message_leaves_nothing(
    loop: Any,
) -> None:
    with on_stage(Working, loop=loop) as stage, stage.connect() as client:
        client.send(b"HELO x\r\n" + MESSAGE)
        for _ in range(4):
            stage.hear(client)
        stage.server.begun()
        asyncore.close_all(stage.map)
        assert client.rest() == b""
        stage.server.may_end.release()
        stage.server.joined()
        assert stage.map == {}


@LOOPS
def test_a_channel_closed_while_a_worker_has_its_message_leaves_nothing(
    loop: Any,
) -> None:
    with on_stage(Working, loop=loop) as stage:
        with stage.connect() as client, stage.connect() as other:
            client.send(b"HELO x\r\n" + MESSAGE)
            for _ in range(4):
                stage.hear(client)
            stage.server.begun()
            stage.channels[0].close()
            assert stage.rest(client) == b""
            # Another client gets the descriptor, and must not get the reply.
            with stage.connect() as third:
                stage.server.may_end.release()
                stage.server.finished()
                stage.turn(3, timeout=0.01)
                assert stage.say(third, b"NOOP") == OK
                assert stage.say(other, b"NOOP") == OK
        assert stage.server.errors == []


@LOOPS
def test_a_loop_that_was_left_brings_the_answer_when_it_goes_on(loop: Any) -> None:
    with on_stage(Working, loop=loop) as stage, stage.connect() as client:
        client.send(b"HELO x\r\n" + MESSAGE)
        for _ in range(4):
            stage.hear(client)
        stage.server.begun()
        stage.server.may_end.release()
        stage.server.finished()
        assert not client.has_input()
        assert stage.hear(client) == OK


@LOOPS
def test_a_message_at_a_worker_is_not_idle_nor_is_its_client_after_that(
    loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Patient(Working):
        idle_timeout = 300

    with on_stage(Patient, loop=loop) as stage, stage.connect() as client:
        client.send(b"HELO x\r\n" + MESSAGE)
        for _ in range(4):
            stage.hear(client)
        stage.server.begun()
        later(monkeypatch, 400)
        stage.turn(3, timeout=0.01)
        assert not client.has_input()
        stage.server.may_end.release()
        assert stage.hear(client) == OK
        stage.turn(3, timeout=0.01)
        assert stage.say(client, b"QUIT") == b"221 Bye\r\n"
        stage.server.finished()


def test_unsent_replies_do_not_hold_up_a_workers_answer() -> None:
    with on_stage(Working) as stage, stage.connect() as client:
        quick(stage.server)
        client.send(b"HELO x\r\n" + b"HELP\r\n" * 5000 + MESSAGE + b"QUIT\r\n")
        heard = stage.rest(client)
        assert heard.count(b"Supported commands") == 5000
        assert heard.endswith(OK + b"221 Bye\r\n")
        stage.server.finished()


def test_threads_that_wait_do_not_keep_a_process_from_ending() -> None:
    program = (
        "import smtplib, threading, smtpd_compat as smtpd\n"
        "from smtpd_compat._connection import _workers\n"
        "_workers._IDLE = 100_000.0\n"
        "class Server(smtpd.SMTPServer):\n"
        "    worker_threads = 1\n"
        "    def process_message(self, *args, **kwargs):\n"
        "        print(threading.current_thread().name)\n"
        "server = Server(('127.0.0.1', 0), None)\n"
        "threading.Thread(target=smtpd.loop, daemon=True).start()\n"
        "with smtplib.SMTP(*server.socket.getsockname()) as client:\n"
        "    client.sendmail('a@b', ['c@d'], 'x')\n"
    )
    assert fresh(program) == "smtpd_compat worker\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@LOOPS
def test_a_forked_child_uses_threads_and_pipe_of_its_own(loop: Any) -> None:
    """Here while one thread of the parent works, and another one waits."""
    with on_stage(Working, loop=loop) as stage, stage.connect() as client:
        with stage.connect() as other:
            stage.server.may_end.release()
            for each in (client, other):
                each.send(b"HELO x\r\n" + MESSAGE)
            stage.until(lambda: client.has_input() and other.has_input())
            stage.until(lambda: len(stage.server.messages) == 1)
            child = os.fork()
            if not child:
                status = 1
                try:
                    status = _child(stage)
                finally:
                    os._exit(status)
            assert os.waitpid(child, 0)[1] == 0
            # The parent's loop has what it had, and its threads too.
            stage.server.may_end.release()
            for each in (client, other):
                assert [stage.hear(each) for _ in range(5)][-1] == OK
            assert len(stage.server.messages) == 2


class TakesItsTime(socket.socket):
    """What wakes the loop, and waits before it does."""

    has_begun = threading.Event()
    may_go_on = threading.Event()

    def send(self, *args: Any) -> int:
        self.has_begun.set()
        assert self.may_go_on.wait(PATIENCE)
        return super().send(*args)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_that_is_forked_while_a_thread_wakes_the_loop_serves_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = socket.socketpair

    def socketpair() -> Any:
        near, far = original()
        return near, TakesItsTime(fileno=far.detach())

    monkeypatch.setattr(TakesItsTime, "has_begun", threading.Event())
    monkeypatch.setattr(TakesItsTime, "may_go_on", threading.Event())
    with on_stage(Working) as stage, stage.connect() as client:
        quick(stage.server)
        with monkeypatch.context() as patch:
            patch.setattr(smtpd_compat.socket, "socketpair", socketpair)
            client.send(b"HELO x\r\n" + MESSAGE)
            stage.until(TakesItsTime.has_begun.is_set)
        ended, ends = os.pipe()
        child = os.fork()
        if not child:
            status = 1
            try:
                status = _child(stage)
            finally:
                os._exit(status)
        os.close(ends)
        with open(ended, "rb"):
            if not select.select([ended], [], [], PATIENCE)[0]:
                os.kill(child, signal.SIGKILL)
            assert os.waitpid(child, 0)[1] == 0
        TakesItsTime.may_go_on.set()
        assert [stage.hear(client) for _ in range(5)][-1] == OK


def _child(stage: Any) -> int:
    """Serve a client, as the child of a server that has a message in hand."""
    quick(stage.server)
    assert set(stage.map) == _descriptors(stage)
    with stage.connect() as client:
        client.send(b"HELO x\r\n" + MESSAGE * 3)
        heard = [stage.hear(client) for _ in range(13)]
    assert heard[4::4] == [OK] * 3
    return 0


# Who gets threads


class Handles(smtpd_compat.SMTPServer):
    def process_message(self, *args: Any, **kwargs: Any) -> None:
        pass


class AsksForThem(Handles):
    worker_threads = 3


class Inherits(AsksForThem):
    pass


class OverridesHandler(AsksForThem):
    def process_message(self, *args: Any, **kwargs: Any) -> None:
        pass


class OverridesDelivery(AsksForThem):
    def _deliver(self, mailfrom: Any, rcpttos: Any, data: Any) -> Any:
        pass


class OverridesAndAsks(AsksForThem):
    worker_threads = 1

    def process_message(self, *args: Any, **kwargs: Any) -> None:
        pass


class AsksForNone(AsksForThem):
    worker_threads = 0


class MixesIn(OverridesDelivery, Inherits):
    pass


@pytest.mark.parametrize(
    "cls, uses",
    [
        (Handles, False),
        (AsksForThem, True),
        (Inherits, True),
        (OverridesHandler, False),
        (OverridesDelivery, False),
        (OverridesAndAsks, True),
        (AsksForNone, False),
        (MixesIn, False),
    ],
)
def test_a_class_that_overrides_a_handler_has_to_ask_for_workers_itself(
    cls: type, uses: bool
) -> None:
    server = cls(("127.0.0.1", 0), None, map={})
    try:
        assert may_use_workers(server) is uses
    finally:
        server.close()


def test_modules_without_package_still_count_as_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Python 3.16 no longer sets ``__package__``."""
    for module in list(sys.modules.values()):
        if getattr(module, "__name__", "").startswith("smtpd_compat"):
            monkeypatch.delattr(module, "__package__")
    server = smtpd_compat.PureProxy(("127.0.0.1", 0), None, map={})
    try:
        assert may_use_workers(server)
    finally:
        server.close()


@pytest.mark.parametrize("name", ["process_message", "_deliver"])
@pytest.mark.parametrize(
    "replacement", [mock.Mock(), lambda self, *args: {}], ids=["mock", "function"]
)
def test_a_handler_put_into_a_class_of_ours_never_expected_threads(
    name: str, replacement: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = smtpd_compat.PureProxy(("127.0.0.1", 0), None, map={})
    try:
        assert may_use_workers(server) is True
        monkeypatch.setattr(smtpd_compat.PureProxy, name, replacement)
        assert may_use_workers(server) is False
    finally:
        server.close()


def test_an_instance_may_ask_for_workers_or_have_a_handler_of_its_own() -> None:
    server = Handles(("127.0.0.1", 0), None, map={})
    try:
        server.worker_threads = 2
        assert may_use_workers(server) is True
    finally:
        server.close()
    server = AsksForThem(("127.0.0.1", 0), None, map={})
    try:
        server.process_message = lambda *args, **kwargs: None
        assert may_use_workers(server) is False
    finally:
        server.close()


def test_a_handler_that_did_not_ask_runs_on_the_loops_thread() -> None:
    threads = []

    class Overrides(Working):
        def process_message(self, *args: Any, **kwargs: Any) -> None:
            threads.append(threading.current_thread().name)

    with serving(Overrides) as server, connected(server) as client:
        client.send(b"HELO x\r\n" + MESSAGE)
        assert client.replies(5)[-1] == OK
    assert threads == ["asyncore loop"]


def test_workers_hand_over_the_same_arguments_as_the_loop() -> None:
    class Threaded(Server):
        worker_threads = 1

    for cls in (Server, Threaded):
        for settings in ({}, {"decode_data": True}):
            with serving(cls, **settings) as server:
                with Client(address(server)) as client:
                    client.reply()
                    where = client.socket.getsockname()
                    client.send(b"EHLO x\r\n" + MESSAGE)
                    assert client.replies(5)[-1] == OK
            (message,) = server.messages
            assert (message.peer, message.mailfrom) == (where, "a@b")
            assert message.rcpttos == ["c@d"]
            if settings:
                assert (message.data, message.options) == ("hello", {})
            else:
                assert message.data == b"hello"
                assert set(message.options) == {"mail_options", "rcpt_options"}


def test_a_command_of_ones_own_behind_a_workers_message_is_answered() -> None:
    class Speaks(smtpd_compat.SMTPChannel):
        def smtp_XFOO(self, arg: Any) -> None:
            self.push("250 foo")

    class Works(smtpd_compat.SMTPServer):
        channel_class = Speaks
        worker_threads = 1

        def process_message(self, *args: Any, **kwargs: Any) -> None:
            pass

    with serving(Works) as server:
        with socket.create_connection(address(server), timeout=20) as client:
            client.sendall(b"HELO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n")
            client.sendall(b"DATA\r\nx\r\n.\r\nXFOO\r\n")
            with client.makefile("rb") as heard:
                while not heard.readline().startswith(b"354 "):
                    pass
                assert heard.readline() == b"250 OK\r\n"
                assert heard.readline() == b"250 foo\r\n"
