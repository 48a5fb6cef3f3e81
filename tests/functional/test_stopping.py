"""Signals: the command line answers what is in hand, and ends quietly."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

import smtpd_compat
from smtpd_compat import _stopping
from tests.functional.processes import COMMAND, Server, end, server_process, start
from tests.support.conversing import MESSAGE, OK
from tests.support.talking import Client

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")

SERVERS = "tests.functional.stopping."
GOODBYE = b"421 Error: shutting down, closing connection\r\n"

SIGNALS = pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])


def connected(server: Server) -> Client:
    client = Client((server.host, server.port))
    assert client.reply().startswith(b"220 ")
    return client


def hand_over(client: Client) -> None:
    """Send a message; where its handler blocks the loop, all replies come after it."""
    client.send(b"HELO x\r\n" + MESSAGE)


def wait_for(process: subprocess.Popen[Any], text: str) -> None:
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], 60)[0], "nothing was printed"
    assert process.stdout.readline() == text + "\n"


# The first signal


@SIGNALS
@pytest.mark.parametrize("name", ["Slow", "Threaded"])
def test_signal_lets_what_is_in_hand_be_answered(name: str, signum: int) -> None:
    with server_process("-n", "-c", SERVERS + name) as server:
        with connected(server) as busy, connected(server) as idle:
            hand_over(busy)
            server.seen_after("begun\n")
            server.process.send_signal(signum)
            assert busy.replies(5)[-1] == OK
            assert busy.rest() == GOODBYE
            assert idle.rest() == GOODBYE
        assert end(server.process) == (0, "done\n", "")


def test_signal_lets_each_of_many_messages_be_answered() -> None:
    with server_process("-n", "-c", SERVERS + "Threaded") as server:
        # As many as begin at once: what has not been read yet is not in hand.
        clients = [connected(server) for _ in range(20)]
        for client in clients:
            hand_over(client)
        server.seen_after("begun", times=len(clients))
        server.process.send_signal(signal.SIGTERM)
        for client in clients:
            assert client.replies(5)[-1] == OK
            client.close()
        ended = end(server.process)
        assert (ended.status, ended.stderr) == (0, "")


def test_signal_closes_the_listening_socket_first() -> None:
    with server_process("-n", "-c", SERVERS + "Threaded") as server:
        with connected(server) as busy:
            hand_over(busy)
            server.seen_after("begun\n")
            server.process.send_signal(signal.SIGTERM)
            with pytest.raises(OSError):
                while True:
                    Client((server.host, server.port)).close()
            assert busy.replies(5)[-1] == OK
        assert end(server.process).status == 0


def test_signal_in_the_middle_of_a_message_takes_leave_of_the_client() -> None:
    with server_process("-n", "-c", "DebuggingServer") as server:
        with connected(server) as client:
            client.send(b"HELO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nA:")
            assert client.replies(4)[-1].startswith(b"354 ")
            server.process.send_signal(signal.SIGTERM)
            assert client.rest() == GOODBYE
        assert end(server.process) == (0, "", "")


@pytest.mark.parametrize(
    "said, seconds", [(0, 0), (0.5, 0.5), (3600, 3600), (None, 10.0), ("soon", 10.0)]
)
def test_stop_may_take_what_its_class_says_or_ten_seconds(
    said: object, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[float] = []

    class Stop(_stopping._Stop):
        def __init__(self, seconds: float) -> None:
            given.append(seconds)
            super().__init__(seconds)

        def listen(self) -> None:
            pass

    monkeypatch.setattr(_stopping, "_Stop", Stop)
    monkeypatch.setattr(smtpd_compat, "loop", lambda: None)
    _stopping.serve(SimpleNamespace(stop_timeout=said))
    assert given == [seconds]


@pytest.mark.parametrize("asked", [False, True])
def test_leave_is_taken_only_where_a_signal_has_asked_for_the_end(
    asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handler may raise KeyboardInterrupt, too."""
    finished: list[object] = []

    class Stop(_stopping._Stop):
        def listen(self) -> None:
            self.is_asked_for = asked

        def finish(self) -> None:
            finished.append(self)

    def loop() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_stopping, "_Stop", Stop)
    monkeypatch.setattr(smtpd_compat, "loop", loop)
    _stopping.serve(None)
    assert len(finished) == asked


def test_stop_waits_for_who_is_there_until_its_time_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    turns: list[Any] = []

    def loop(**arguments: Any) -> None:
        nonlocal now
        turns.append((arguments["timeout"], arguments["count"], list(map.values())))
        now += 0.5

    map: dict[int, Any] = {}
    monkeypatch.setattr(smtpd_compat.asyncore, "socket_map", map)
    monkeypatch.setattr(smtpd_compat, "loop", loop)
    monkeypatch.setattr(_stopping, "time", SimpleNamespace(monotonic=lambda: now))
    server = smtpd_compat.SMTPServer(("127.0.0.1", 0), None, map=map)
    ours, theirs = socket.socketpair()
    channel = smtpd_compat.SMTPChannel(server, ours, "", map=map)
    try:
        _stopping._Stop(2).finish()
        assert turns == [(left, 1, [channel]) for left in (2.0, 1.5, 1.0, 0.5)]
    finally:
        channel.close()
        server.close()
        theirs.close()


@pytest.mark.parametrize("error", [RuntimeError, MemoryError])
def test_stop_does_without_the_thread_that_would_end_the_process(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def start_new_thread(*args: Any) -> None:
        raise error("can't start new thread")

    interrupted: list[bool] = []
    stop = _stopping._Stop(0)
    monkeypatch.setattr("_thread.start_new_thread", start_new_thread)
    monkeypatch.setattr(
        _stopping, "interrupt", lambda: interrupted.append(stop.is_asked_for)
    )
    stop._asked(signal.SIGTERM, None)
    assert interrupted == [True]


@pytest.mark.parametrize("name", ["Stuck", "StuckThreaded"])
def test_stop_takes_no_longer_than_its_class_says(name: str) -> None:
    with server_process("-n", "-c", SERVERS + name) as server:
        with connected(server) as client:
            hand_over(client)
            server.seen_after("begun\n")
            server.process.send_signal(signal.SIGTERM)
            assert end(server.process) == (0, "", "")
            # All but that of the message, unless the handler holds them all up.
            assert client.codes() in ([], [b"250", b"250", b"250", b"354"])


def test_what_is_done_after_the_stop_may_take_its_time() -> None:
    with server_process("-n", "-c", SERVERS + "SlowToEnd") as server:
        assert server.stop() == (0, "saved\n", "")


def test_client_that_reads_nothing_does_not_hold_the_stop_up() -> None:
    with server_process("-n", "-c", SERVERS + "Saves") as server:
        with connected(server) as client:
            client.socket.setblocking(False)
            sent_at = time.monotonic()
            while time.monotonic() - sent_at < 1:
                try:
                    client.socket.send(b"NOOP\r\n" * 10000)
                    sent_at = time.monotonic()
                except BlockingIOError:
                    select.select([], [client.socket], [], 0.1)
            assert server.stop() == (0, "saved\n", "")


def test_server_that_closes_itself_ends_the_command() -> None:
    with server_process("-n", "-c", SERVERS + "Closes") as server:
        with connected(server) as client:
            hand_over(client)
            assert client.replies(5)[-1] == OK
        assert end(server.process) == (0, "", "")


# The second one


@SIGNALS
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_second_signal_ends_the_process_at_once(signum: int, second: int) -> None:
    with server_process("-n", "-c", SERVERS + "Patient") as server:
        with connected(server) as client:
            hand_over(client)
            server.seen_after("begun\n")
            server.process.send_signal(signum)
            with pytest.raises(subprocess.TimeoutExpired):
                server.process.wait(0.2)
            server.process.send_signal(second)
            assert end(server.process) == (-second, "", "")


def test_signals_that_come_together_leave_no_traceback() -> None:
    for _ in range(10):
        with server_process("-n", "-c", "DebuggingServer") as server:
            for signum in (signal.SIGINT, signal.SIGTERM) * 3:
                server.process.send_signal(signum)
            ended = end(server.process)
        assert ended.status in (0, -signal.SIGINT, -signal.SIGTERM)
        assert (ended.stdout, ended.stderr) == ("", "")


# Before it serves


@SIGNALS
@pytest.mark.parametrize(
    "name, printed",
    [
        ("tests.functional.slow_import.Server", "importing"),
        (SERVERS + "SlowToStart", "starting"),
    ],
)
def test_signal_during_the_start_leaves_no_traceback(
    name: str, printed: str, signum: int
) -> None:
    process = start([*COMMAND, "-n", "-c", name, "127.0.0.1:0"])
    wait_for(process, printed)
    process.send_signal(signum)
    ended = end(process)
    assert ended.status in (0, -signum)
    assert ended.stderr == ""


# Ignored


def _ignoring_sigint() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@pytest.mark.skipif(
    sys.implementation.name == "pypy",
    reason="PyPy has SIGINT interrupt it, also where it was ignored",
)
def test_sigint_that_was_ignored_at_the_start_stays_so() -> None:
    """A shell's script ignores it for what it starts in the background."""
    with server_process(
        "-n", "-c", "DebuggingServer", preexec_fn=_ignoring_sigint
    ) as server:
        with connected(server) as client:
            server.process.send_signal(signal.SIGINT)
            assert client.say(b"NOOP") == OK
            server.process.send_signal(signal.SIGTERM)
            server.process.send_signal(signal.SIGINT)
            assert client.rest() == GOODBYE
        assert end(server.process) == (0, "", "")
