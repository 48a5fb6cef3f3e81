"""The relay's queue, and the sessions that messages wait for; see `_upstream`."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from functools import partial

import smtpd_compat

from .._hosts import has_ended
from .._loop import is_running_on
from ._blocking import endpoint
from ._replies import NO_REPLY
from ._upstream import Session

TYPE_CHECKING = bool()
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .._connection._workers import WorkerPool
    from ._outgoing import Message
    from ._replies import Reply

#: Seconds after which a client may have lost patience.  Before that, one that has ended
#: its side of the connection is more likely to be a script that has sent all it has.
_PATIENCE = 0.5

#: Seconds for which no more sessions are opened than upstream is known to take.
_FEWER_FOR = 30.0


class Waiting:
    """A client that waits for an answer.

    :param client: its socket.
    """

    __slots__ = ("_client", "_has_ended", "since")

    def __init__(self, client: Any) -> None:
        self.since = time.monotonic()
        self._client = client
        self._has_ended = False

    def begin(self) -> None:
        """It is not this client's turn yet."""
        # One that has sent all it has, and only reads now, is not gone.
        self._has_ended = has_ended(self._client)

    def is_gone(self, now: float) -> bool:
        """Whether the client has lost patience, and left."""
        return (
            now - self.since > _PATIENCE
            and not self._has_ended
            and has_ended(self._client)
        )

    def is_too_late(self, now: float, timeout: float | None) -> bool:
        """Whether it has waited for its turn for *timeout* seconds."""
        return timeout is not None and now - self.since >= timeout


class Job(Waiting):
    """A message on its way.

    :param answered: called once with the reply for each recipient; with what failed, a
        `Conversation.failure` or an exception's class; and with whether the client may
        be answered at once, in a turn of its own.
    """

    __slots__ = ("answered", "is_retried", "message")

    def __init__(
        self,
        message: Message,
        answered: Callable[[dict[str, Reply], Any, bool], None],
        client: Any,
    ) -> None:
        super().__init__(client)
        self.message = message
        self.answered = answered
        self.is_retried = False

    def fail(self, reply: Reply = NO_REPLY, failure: Any = "") -> None:
        """Answer that it was not delivered."""
        self.answered(dict.fromkeys(self.message.rcpttos, reply), failure, False)


class Pool:
    """The sessions with one upstream server, and the messages that wait for them.

    :param server: has the address, the socket map, and the settings ``upstream_...``.
    """

    def __init__(self, server: Any) -> None:
        self.server = server
        self.remoteaddr = server._remoteaddr
        self.map: dict[int, Any] = server._map
        self.sessions: set[Session] = set()
        #: Those that have not been greeted yet, and those that have nothing to do.
        self.new: set[Session] = set()
        self.idle: list[Session] = []
        self.queue: deque[Job] = deque()
        #: When to look for what is overdue (`time.monotonic`), None for never.
        self.alarm: float | None = None
        self.is_closed = False
        self._is_busy = False
        self._fewer_until = 0.0
        self._threads: WorkerPool | None = None
        #: What wakes the thread that sleeps until the alarm, while it does.
        self._sleep: threading.Event | None = None
        _pools.add(self)

    def submit(self, job: Job) -> None:
        """Deliver a message, at once or in its turn."""
        now = job.since
        while self.idle:
            session = self.idle.pop()
            assert session.deadline is not None  # as it has nothing to do
            if now < session.deadline:
                session.start(job, now)
                return
            session.leave()
        if len(self.queue) >= self.server.upstream_queue:
            job.fail()
            return
        job.begin()
        self.queue.append(job)
        self.pump(now)

    def next_job(self, now: float) -> Job | None:
        """The next message whose client still waits for it, and not for too long."""
        self.expire_queue(now)
        while self.queue:
            job = self.queue.popleft()
            if not job.is_gone(now):
                return job
            job.fail()
        return None

    def expire_queue(self, now: float) -> None:
        """Refuse, for now, what has waited for too long."""
        timeout = self.server.upstream_queue_timeout
        while self.queue and self.queue[0].is_too_late(now, timeout):
            self.queue.popleft().fail()
        if self.queue and timeout is not None:
            self.look_at(self.queue[0].since + timeout)

    # Opening sessions

    def pump(self, now: float) -> None:
        """Open as many sessions as the messages that wait call for."""
        self.expire_queue(now)
        if self._is_busy or self._wanted(now) <= 0:
            return
        socket = smtpd_compat.socket
        kind: Any = {"type": socket.SOCK_STREAM}
        try:
            host, port = endpoint(self.remoteaddr)
            try:
                numeric = socket.AI_NUMERICHOST
                found = socket.getaddrinfo(host, port, flags=numeric, **kind)
            except OSError:
                # A name, which may take a name server's time.
                self._is_busy = True
                look_up = partial(socket.getaddrinfo, host, port, **kind)
                self._in_thread(look_up, self._resolved)
                self.watch_clock()
                return
        except Exception as error:  # noqa: BLE001 - no address, or no thread left
            self._is_busy = False
            self._fail_all(error)
            return
        self._open(found, now)

    def _wanted(self, now: float) -> int:
        limit: int = self.server.upstream_sessions
        if now < self._fewer_until:
            limit = min(limit, self._fewer)
        return min(len(self.queue) - len(self.new), max(1, limit) - len(self.sessions))

    def _resolved(self, outcome: Callable[[], Any]) -> None:
        self._is_busy = False
        try:
            found = outcome()
        except Exception as error:  # noqa: BLE001 - whatever looking up may raise
            self._fail_all(error)
        else:
            self._open(found, time.monotonic())

    def _fail_all(self, error: Exception) -> None:
        while self.queue:
            self.queue.popleft().fail(NO_REPLY, error.__class__)

    def _open(self, found: list[Any], now: float) -> None:
        # What a failure brings about (an answer, another message) finds us busy here.
        self._is_busy = True
        try:
            while self._wanted(now) > 0:
                Session(self, found).open(OSError("no address"))
        finally:
            self._is_busy = False

    def forget(self, session: Session) -> None:
        """A session has ended."""
        self.sessions.discard(session)
        self.new.discard(session)
        if session in self.idle:
            self.idle.remove(session)
        if not self.sessions:
            self._rest()

    def lost(self, session: Session, reply: Reply, failure: Any) -> None:
        """A session has ended before it could take a message."""
        self.forget(session)
        now = time.monotonic()
        others = len(self.sessions) - len(self.new)
        if others:  # upstream takes no more than these
            self._fewer = others
            self._fewer_until = now + _FEWER_FOR
        elif self.queue:
            self.queue.popleft().fail(reply, failure)
        self.pump(now)

    def retry(self, job: Job, now: float) -> None:
        """Deliver a message once more; all that have nothing to do may be dead."""
        job.is_retried = True
        while self.idle:
            self.idle.pop().leave()
        self.queue.appendleft(job)
        self.pump(now)

    # Time and end

    def look_at(self, when: float) -> None:
        """Have the alarm at *when*, if not before."""
        if self.alarm is None or when < self.alarm:
            self.alarm = when
            if self._sleep is not None:
                self._sleep.set()
            self.watch_clock()

    def sweep(self, now: float) -> None:
        """See what is overdue; called between two events."""
        self.alarm = None
        self.expire_queue(now)
        for session in list(self.sessions):
            if session.deadline is not None and session.deadline <= now:
                session.expire()
        for session in self.sessions:
            if session.deadline is not None:
                self.look_at(session.deadline)

    def watch_clock(self) -> None:
        """Have a thread sleep until the alarm, unless the loop is ours and does so.

        Our loop looks at the alarm while there are sessions; before the first, a name
        may have to be looked up.
        """
        if self.alarm is None or self._sleep is not None:
            return
        if is_running_on(self.map) and (self.sessions or not self._is_busy):
            return
        left = max(0.0, self.alarm - time.monotonic())
        sleep = threading.Event()
        try:
            call = partial(sleep.wait, min(left, threading.TIMEOUT_MAX))
            self._in_thread(call, self._slept)
        except Exception:  # noqa: BLE001 - no thread or no descriptor: see `readable`
            return
        self._sleep = sleep

    def _slept(self, outcome: Callable[[], Any]) -> None:
        self._sleep = None
        self.sweep(time.monotonic())

    def _in_thread(
        self, call: Callable[[], Any], answered: Callable[[Callable[[], Any]], None]
    ) -> None:
        from .._connection._workers import WorkerPool

        if self._threads is None:  # one that sleeps, one that looks names up
            self._threads = WorkerPool(2, self.map)
        self._threads.submit(call, answered)

    def _rest(self) -> None:
        """There are no sessions for now."""
        if self._sleep is not None:
            self._sleep.set()
        if self._threads is not None and self.is_closed:
            self._threads.close()
            if not self._is_busy:
                self._threads.join()

    def close(self) -> None:
        """Keep no sessions any more; what is in hand is finished."""
        self.is_closed = True
        while self.idle:
            self.idle.pop().leave()
        if not self.sessions:
            self._rest()

    def forget_parent(self) -> None:
        """Let go of the sessions that a forked child has inherited, without a word."""
        for session in list(self.sessions):
            session.poller = None  # the parent's epoll is to watch them still
            session.drop_socket()
        for sessions_or_jobs in (self.sessions, self.new, self.idle, self.queue):
            sessions_or_jobs.clear()
        self._is_busy = False
        self._sleep = None

    def log_info(self, message: str, type: str) -> None:
        """As the server does."""
        self.server.log_info(message, type)


def _forget_parent() -> None:
    for pool in list(_pools):
        pool.forget_parent()


_pools: weakref.WeakSet[Pool] = weakref.WeakSet()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent)
