"""The load generator: SMTP clients on plain sockets, in a process of their own.

``python -m tests.benchmarks.load JSON`` runs one load against one server and prints
one line of JSON.  It is much cheaper than the servers that it drives: no SMTP
library, commands that are ready octets, and one ``epoll`` for all sessions.

What one client says is a generator (a `Script`): it yields the octets to send and is
sent the reply.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, Any

from tests.benchmarks.meter import Meter, ProcessEnded

if TYPE_CHECKING:
    Script = Generator[bytes, bytes, None]
    Following = Callable[[], "tuple[Session, Script] | None"]

#: Seconds without the last answer after which a server counts as hung.
PATIENCE = 60.0

# The commands as smtplib writes them.
EHLO = b"ehlo [127.0.0.1]\r\n"
QUIT = b"quit\r\n"
NOOP = b"noop\r\n"
DATA = b"data\r\n"
MAIL = b"mail FROM:<sender@example.com> size=%d\r\n"
RCPT = b"rcpt TO:<%s>\r\n"
END_OF_DATA = b".\r\n"

RECIPIENT = b"recipient@example.org"
SMALL_LINE = b"Sixty-two characters of text, which is what a line often has.\r\n"
SMALL_MESSAGE = b"Subject: benchmark\r\n\r\n" + 16 * SMALL_LINE + END_OF_DATA

LINES = {
    "76-characters": 76 * b"x" + b"\r\n",
    "60-characters": 60 * b"x" + b"\r\n",
    "dotted": b".." + 74 * b"x" + b"\r\n",
    "short": b"abc\r\n",
    "empty": b"\r\n",
    "dots": b"..\r\n",
}


class Failed(Exception):
    """The server did not do what the load needs; the text says what it did."""


# What clients say


def expect(code: bytes, reply: bytes) -> None:
    """Check a reply of one line.

    :raises Failed: if it does not start with *code*, or if there are several.
    """
    if not reply.startswith(code) or reply.find(b"\n") != len(reply) - 1:
        raise Failed(f"replied {reply[:60].decode('ascii', 'replace').strip()}")


def connect() -> Script:
    """Wait for the server's greeting."""
    expect(b"220", (yield b""))


def greet() -> Script:
    """From the connection to the reply to EHLO."""
    yield from connect()
    *_, last_line = (yield EHLO).splitlines(keepends=True)
    expect(b"250", last_line)


def message(text: bytes, recipients: Iterable[bytes] = (RECIPIENT,)) -> Script:
    """One transaction; *text* holds the end of data as well."""
    expect(b"250", (yield MAIL % len(text)))
    for recipient in recipients:
        expect(b"250", (yield RCPT % recipient))
    expect(b"354", (yield DATA))
    expect(b"250", (yield text))


def messages(until: float, done: list[float]) -> Script:
    """Small messages until some time; notes in *done* when each was accepted."""
    while time.perf_counter() < until:
        yield from message(SMALL_MESSAGE)
        done.append(time.perf_counter())


def visit(done: list[float]) -> Script:
    """A connection for one small message."""
    yield from greet()
    yield from message(SMALL_MESSAGE)
    expect(b"221", (yield QUIT))
    done.append(time.perf_counter())


def noops(count: int) -> Script:
    """So many NOOPs in one go."""
    reply = yield count * NOOP
    while True:
        replies = reply.splitlines()
        for reply in {line[:3] for line in replies}:
            expect(b"250", reply + b"\n")
        count -= len(replies)
        if not count:
            break
        reply = yield b""


# Sessions


class Session:
    """A connection, and the script that it follows at the moment."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.connect_ex(("127.0.0.1", port))
        self.script: Script
        self.unsent = memoryview(b"")
        self._received = b""

    def begin(self, script: Script) -> bool:
        """Start a script; false if it is over at once."""
        self.script = script
        return self._go_on(None)

    def receive(self) -> bool:
        """Receive, and go on if the reply is complete; false if the script is over.

        :raises Failed: if the connection is lost, refused, or said the wrong thing.
        """
        try:
            received = self.socket.recv(65536)
        except BlockingIOError:
            return True
        except OSError as error:
            raise Failed(str(error.strerror)) from error
        if not received:
            raise Failed("closed the connection")
        reply = self._received + received
        last_line = reply.rfind(b"\n", 0, -1) + 1
        if reply[-1:] != b"\n" or reply[last_line + 3 : last_line + 4] == b"-":
            self._received = reply
            return True
        self._received = b""
        return self._go_on(reply)

    def send(self) -> None:
        """Send what the script has said, as far as the socket takes it."""
        try:
            self.unsent = self.unsent[self.socket.send(self.unsent) :]
        except BlockingIOError:
            pass
        except OSError as error:
            raise Failed(str(error.strerror)) from error

    def _go_on(self, reply: bytes | None) -> bool:
        try:
            octets = next(self.script) if reply is None else self.script.send(reply)
        except StopIteration:
            return False
        if octets:
            self.unsent = memoryview(octets)
            self.send()
        return True


def run(
    scripts: dict[Session, Script],
    following: Following = lambda: None,
    patience: float = PATIENCE,
) -> int:
    """Let all sessions follow their scripts at the same time.

    :param following: called when one is over, for one that takes its place.
    :param patience: the seconds that all of it may take.
    :returns: how many are not over by then.
    """
    active: dict[int, Session] = {}
    receiving, sending = select.EPOLLIN, select.EPOLLIN | select.EPOLLOUT
    with select.epoll() as poll:

        def add(session: Session, script: Script) -> None:
            if session.begin(script):
                active[session.socket.fileno()] = session
                poll.register(session.socket, sending if session.unsent else receiving)

        for session, script in scripts.items():
            add(session, script)
        end = time.perf_counter() + patience
        while active and time.perf_counter() < end:
            for descriptor, event in poll.poll(end - time.perf_counter()):
                session = active[descriptor]
                was_sending = bool(session.unsent)
                if was_sending and event & select.EPOLLOUT:
                    session.send()
                if event & ~select.EPOLLOUT and not session.receive():
                    del active[descriptor]
                    poll.unregister(descriptor)
                    next_one = following()
                    if next_one:
                        session.socket.close()
                        add(*next_one)
                elif bool(session.unsent) != was_sending:
                    poll.modify(descriptor, receiving if was_sending else sending)
    return len(active)


def run_all(
    scripts: dict[Session, Script], following: Following = lambda: None
) -> None:
    """`run`, with none left.

    :raises Failed: if one is.
    """
    if run(scripts, following):
        raise Failed(f"does not answer within {PATIENCE:.0f} s")


def sessions_after(
    script: Callable[[], Script], port: int, count: int
) -> list[Session]:
    """So many sessions which have followed *script*, made one after another."""
    sessions = []
    for _ in range(count):
        session = Session(port)
        run_all({session: script()})
        sessions.append(session)
    return sessions


def report(units: float, meter: Meter, **more: float) -> dict[str, float]:
    """The timed part is over; what it did and what it took."""
    return {"units": units, **meter.stop()._asdict(), **more}


# Loads: each gets the port, the meter, and the rest of what the workload says


def kept_open(
    port: int, meter: Meter, sessions: int, seconds: float, idle: int = 0
) -> dict[str, float]:
    """Small messages in sessions that stay open, beside *idle* ones."""
    waiting = sessions_after(connect, port, idle)
    busy = sessions_after(greet, port, sessions)

    def send_for(duration: float) -> list[float]:
        done: list[float] = []
        until = time.perf_counter() + duration
        run_all({session: messages(until, done) for session in busy})
        return done

    send_for(seconds / 10)
    meter.start()
    result = report(len(send_for(seconds)), meter)
    del waiting
    return result


def visits(port: int, meter: Meter, at_once: int, seconds: float) -> dict[str, float]:
    """A connection for each small message, *at_once* at the same time."""

    def visit_for(duration: float) -> list[float]:
        done: list[float] = []
        until = time.perf_counter() + duration

        def another() -> tuple[Session, Script]:
            return Session(port), visit(done)

        run_all(
            dict([another() for _ in range(at_once)]),
            following=lambda: another() if time.perf_counter() < until else None,
        )
        return done

    visit_for(seconds / 10)
    meter.start()
    return report(len(visit_for(seconds)), meter)


def newcomers(
    port: int, meter: Meter, count: int, idle: int, code: str = "220"
) -> dict[str, float]:
    """Connections one after the other, beside *idle* ones.

    :param code: of the greeting; with 421, the server is to be full.
    """

    def come() -> Script:
        greeting = yield b""
        expect(code.encode(), greeting)
        if code == "220":
            expect(b"221", (yield QUIT))

    waiting = sessions_after(connect, port, idle)
    for number in range(count + count // 10):
        if number == count // 10:
            meter.start()
        session = Session(port)
        run_all({session: come()})
        session.socket.close()
    result = report(count, meter)
    del waiting
    return result


def crowd(
    port: int, meter: Meter, clients: int, patience: float, send: bool = False
) -> dict[str, float]:
    """All clients connect at once; when has the last one its 250?

    :param send: to EHLO, or to the message that each of them sends.
    """
    run_all({Session(port): visit([])})
    served: list[float] = []

    def arrive() -> Script:
        yield from greet()
        if send:
            yield from message(SMALL_MESSAGE)
        served.append(time.perf_counter())

    meter.start()
    start = time.perf_counter()
    failures = run({Session(port): arrive() for _ in range(clients)}, patience=patience)
    slowest = patience if failures else max(served) - start
    return report(len(served), meter, slowest=slowest, failures=failures)


def large(
    port: int, meter: Meter, lines: str, octets: int, beside: bool = False
) -> dict[str, float]:
    """One message of so many octets; the unit is a megabyte (a million octets).

    :param beside: see how long another client waits for the replies to its NOOPs.
    """
    if lines == "one":
        text = octets * b"x" + b"\r\n"
    else:
        text = octets // len(LINES[lines]) * LINES[lines]
    session, other = sessions_after(greet, port, 2)
    run_all({session: message(SMALL_MESSAGE)})
    waits = [0.0]
    is_taken = not beside

    def send() -> Script:
        nonlocal is_taken
        yield from message(text + END_OF_DATA)
        is_taken = True

    def ask() -> Script:
        while not is_taken:
            start = time.perf_counter()
            expect(b"250", (yield NOOP))
            waits.append(time.perf_counter() - start)

    meter.start()
    run_all({session: send(), other: ask()})
    return report(len(text) / 1e6, meter, slowest=max(waits))


def recipients(
    port: int, meter: Meter, template: str, count: int, times: int
) -> dict[str, float]:
    """Messages to many recipients, each with a name made from *template*."""
    names = [(template % number).encode() for number in range(count)]
    (session,) = sessions_after(greet, port, 1)
    run_all({session: message(SMALL_MESSAGE, names[:20])})
    meter.start()
    for _ in range(times):
        run_all({session: message(SMALL_MESSAGE, names)})
    return report(times * count, meter)


def pipelined(port: int, meter: Meter, count: int, times: int) -> dict[str, float]:
    """So many NOOPs in one go, some times."""
    (session,) = sessions_after(greet, port, 1)
    run_all({session: noops(20)})
    meter.start()
    for _ in range(times):
        run_all({session: noops(count)})
    return report(times * count, meter)


LOADS: dict[str, Callable[..., dict[str, float]]] = {
    load.__name__: load
    for load in (kept_open, visits, newcomers, crowd, large, recipients, pipelined)
}


def settle(server: int, cores: str) -> None:
    """Keep the server's process and this one on ``apart``, ``same`` or ``any`` cores.

    See "Pitfalls" in `tests.benchmarks`.
    """
    available = sorted(os.sched_getaffinity(0))
    if cores != "any":
        os.sched_setaffinity(server, available[-1:])
        os.sched_setaffinity(0, available[:1] if cores == "apart" else available[-1:])


def main() -> None:
    """Run the load that the command line describes, and print what it measured."""
    options: dict[str, Any] = json.loads(sys.argv[1])
    load = LOADS[options.pop("load")]
    pid = options.pop("pid")
    settle(pid, options.pop("cores"))
    try:
        result: dict[str, Any] = load(meter=Meter(pid), **options)
    except Failed as failure:
        result = {"failed": str(failure)}
    except ProcessEnded:
        result = {"failed": "the server process ended"}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
