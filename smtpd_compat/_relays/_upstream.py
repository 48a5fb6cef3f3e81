"""The client on asyncore: relaying without threads, by sessions that are used again."""

# Theory.  A `Pool` belongs to one server, and keeps the sessions with its upstream in
# the server's socket map.  A message waits in the pool's queue until a session has been
# greeted and has nothing in hand.  It is not bound to one before: a server that has run
# out of processes leaves new connections without a greeting, while the old ones go on.
#
# A session that was used before, and turns out dead before upstream has accepted
# anything of the message, is replaced once by a new one.  After a time-out nothing is
# tried again: upstream may still take it.
#
# Time.  A reply has a deadline, which moves only with a complete reply, or when some of
# the message was sent.  `smtpd_compat.loop` calls `Pool.sweep` when the next deadline
# is due (`Pool.alarm`).  A plain asyncore.loop waits for 30 seconds, whatever is due;
# there, a thread sleeps until the alarm, one for all of a pool's sessions, and wakes
# the loop as workers do.

from __future__ import annotations

import errno
import socket
import time

from .._asyncore import asyncore
from .._loop import select_cannot_hold
from .._tracing import log_caught
from ._blocking import RECEIVE, hello_name, receive_last_words
from ._client import Conversation
from ._replies import NO_REPLY

TYPE_CHECKING = bool()
if TYPE_CHECKING:
    from typing import Any

    from ._pool import Job, Pool

_UNDER_WAY = frozenset((errno.EINPROGRESS, errno.EWOULDBLOCK))


class Session(asyncore.dispatcher):
    """A connection to the upstream server; see `Pool`.

    :param addresses: as ``getaddrinfo`` returns them.
    """

    #: `smtpd_compat.loop` need not ask, not even after an event: its poller is told.
    _smtpd_notifies = True
    poller: Any = None

    #: When to give up what it waits for, or to leave (`time.monotonic`); None: never.
    deadline: float | None
    socket: Any
    _fileno: Any

    def __init__(self, pool: Pool, addresses: list[Any]) -> None:
        super().__init__(map=pool.map)
        self.pool = pool
        self.talk = Conversation("")
        self._addresses = list(addresses)
        self._job: Job | None = None
        self._is_used = False
        self._wants_to_write = True
        pool.sessions.add(self)
        pool.new.add(self)

    # Connecting

    def open(self, error: Exception) -> None:
        """Try the addresses that are left; *error* is why the last one failed."""
        while self._addresses:
            family, _, _, _, address = self._addresses.pop(0)
            try:
                self.create_socket(family)
                if select_cannot_hold(self.socket, self.pool.map):
                    raise OSError(errno.EMFILE, "no descriptor that select can hold")
                code = self.socket.connect_ex(address)
                if code and code not in _UNDER_WAY:
                    raise OSError(code, "")
                self._extend_deadline()
                return
            except OSError as failed:
                error = failed
                self.drop_socket()
        self.pool.lost(self, NO_REPLY, error.__class__)

    def _see_whether_connected(self) -> None:
        code = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self.drop_socket()
            self.open(OSError(code, ""))
            return
        self.connected = True
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.talk = Conversation(hello_name(self.socket))

    def drop_socket(self) -> None:
        """Close the socket, without a word."""
        sock: Any = self.socket
        if sock is not None:
            self.del_channel()
            self.socket = None
            sock.close()

    # Asked by the loop

    def readable(self) -> bool:
        """Whether to wait for replies."""
        if self.poller is None:  # again, if there was no thread for that before
            self.pool.watch_clock()
        return self.connected

    def writable(self) -> bool:
        """Whether there is something to send."""
        return self._wants_to_write

    def del_channel(self, map: Any = None) -> None:
        """Leave the socket map."""
        if self.poller is not None:
            self.poller.leaves(self._fileno)
        super().del_channel(map)

    def _notify(self) -> None:
        if self.poller is not None:
            self.poller.notify(self._fileno)

    # Events

    def handle_read_event(self) -> None:
        """Read what upstream says."""
        if not self.connected:
            self._see_whether_connected()
            return
        try:
            if self.talk.receive(self.socket.recv(RECEIVE)):
                self._extend_deadline()
        except BlockingIOError:
            pass
        except OSError:
            self.talk.lost()
        self._go_on()

    # asyncore calls these in the place of the first, for an error or for the end.
    handle_expt_event = handle_close = handle_read_event

    def handle_write_event(self) -> None:
        """Send; or see what has become of connecting."""
        if self.connected:
            self._send()
        else:
            self.handle_read_event()

    def handle_error(self) -> None:
        """Log the exception, and end."""
        log_caught(self.pool, "keeping")
        self.talk.lost()
        self._go_on()

    def _go_on(self) -> None:
        talk = self.talk
        if self._job is not None:
            if talk.outcome is None:
                self._send()
            else:
                self._finish(self._job)
        elif not talk.is_over:
            if talk.is_ready and self in self.pool.new:
                self.pool.new.discard(self)
                now = time.monotonic()
                self.start(self.pool.next_job(now), now)
            else:
                self._send()
        elif self in self.pool.sessions:
            self.drop_socket()
            if self in self.pool.new:
                self.pool.lost(self, talk.fate or NO_REPLY, talk.failure)
            else:
                self._forget()

    def _send(self) -> None:
        talk = self.talk
        if talk.unsent:
            try:
                talk.sent(self.socket.send(talk.unsent))
                if talk.unsent:
                    self._extend_deadline()
            except BlockingIOError:
                pass
            except OSError:
                receive_last_words(talk, self.socket)
                self._go_on()
        wants = talk.unsent != b""
        if wants is not self._wants_to_write:
            self._wants_to_write = wants
            self._notify()

    def _extend_deadline(self) -> None:
        timeout = self.pool.server.upstream_timeout
        self.deadline = None if timeout is None else time.monotonic() + timeout
        if self.deadline is not None:
            self.pool.look_at(self.deadline)

    # Messages

    def start(self, job: Job | None, now: float) -> None:
        """Deliver a message, while there is none in hand; None: have nothing to do."""
        while job is not None:
            self.talk.deliver(job.message)
            outcome = self.talk.outcome
            if outcome is None:
                self._job = job
                self._extend_deadline()
                self._send()
                return
            # There is nothing that could be said to this server.
            job.answered(outcome, self.talk.failure, False)
            job = self.pool.next_job(now)
        if self.pool.is_closed or not self.pool.server.upstream_keep:
            self.leave()
        else:
            self.deadline = now + self.pool.server.upstream_keep
            self.pool.look_at(self.deadline)
            self.pool.idle.append(self)

    def _finish(self, job: Job) -> None:
        """The message's fate is known."""
        talk, now = self.talk, time.monotonic()
        outcome, failure = talk.outcome or {}, talk.failure
        was_used, self._is_used = self._is_used, True
        self._job = None
        if talk.is_over:
            self._forget()
            if was_used and not talk.progress and not job.is_retried:
                self.pool.retry(job, now)
                return
        try:
            if talk.is_over:
                self.pool.pump(now)
            else:
                self.start(self.pool.next_job(now), now)
        finally:
            job.answered(outcome, failure, True)

    def expire(self) -> None:
        """Time is up."""
        if self._job is not None:
            self._job.is_retried = True  # or upstream might take it twice
        if self in self.pool.idle:
            self.leave()
        elif self.socket is not None:
            self.talk.lost()
            self._go_on()

    def leave(self) -> None:
        """Say QUIT, and do not wait for what is said to that."""
        self.talk.quit()
        try:
            self.socket.send(self.talk.unsent)
        except OSError:
            pass
        self._forget()

    def _forget(self) -> None:
        self.pool.forget(self)
        self.drop_socket()

    def close(self) -> None:
        """Close the connection, from outside (as ``asyncore.close_all`` does)."""
        job, self._job = self._job, None
        if self.socket is not None and job is None and self.talk.is_ready:
            self.leave()
        self._forget()
        if job is not None:
            job.fail(NO_REPLY, "SMTPServerDisconnected")
