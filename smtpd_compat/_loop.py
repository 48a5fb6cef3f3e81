"""A loop over asyncore's socket map to which idle connections cost nothing.

asyncore asks every dispatcher, in every turn, whether it wants to read or to write.
Here a channel of this package is asked only when what it wants may have changed, which
it tells; all other dispatchers may change their minds unseen, and are asked as asyncore
asks them.
"""

from __future__ import annotations

import sys
import threading
import time
from contextlib import suppress
from itertools import islice

from ._asyncore import asyncore
from ._settings import look_up
from ._watching import CAN_READ, CAN_WRITE, READ, WRITE, Watch, make_do

TYPE_CHECKING = bool()
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

    from ._watching import Ready

#: The descriptors that select can hold (FD_SETSIZE); on Windows it counts sockets.
_SELECT_HOLDS = 512 if sys.platform == "win32" else 1024

#: Seconds between two looks at a server that cannot accept for now.
_ACCEPT_RETRY = 0.5

#: Seconds between two looks for idle clients, at the least.
_SWEEP_PAUSE = 0.1

#: Seconds between two looks at a server of this package, in a loop that is busy.
_LOOK_PAUSE = 0.1

_NEVER = float("inf")

#: Seconds that are waited for at once; epoll takes no number much greater than this.
_LONGEST_WAIT = 1e6


class _OfThread(threading.local):
    """What each thread has of its own."""

    def __init__(self) -> None:
        #: By the ``id`` of their maps: those that run, and one that may run again.
        self.pollers: dict[int, _Poller] = {}
        #: Whether the loop is to be left when nothing is being handled.
        self.is_interrupted = False


_of_thread = _OfThread()


def loop(
    timeout: float | None = 30.0,
    use_poll: bool = False,
    map: dict[int, Any] | None = None,
    count: int | None = None,
) -> None:
    """Serve the dispatchers in a socket map, as ``asyncore.loop`` does.

    :param timeout: seconds that a turn waits at most; None for any time.
    :param use_poll: accepted, since ``asyncore.loop`` has it; the best that the
        system offers is used in any case (epoll, kqueue, ...).
    :param map: the socket map, asyncore's own if None.
    :param count: turns to take; None to go on until the map is empty.
    """
    if map is None:
        map = asyncore.socket_map
    poller = _poller_of(map)
    poller.loops += 1
    if poller.loops > 1:
        # The channel whose handler calls this has had no time to tell what it wants.
        poller.ask_everybody()
    is_to_go_on = False
    try:
        while map and (count is None or count > 0):
            poller.turn(timeout)
            if count is not None:
                count -= 1
        is_to_go_on = bool(map)
    finally:
        poller.loops -= 1
        # Kept, if there was no exception: a program that calls loop(count=1) again and
        # again would make an epoll each time, and find no descriptor for it some time.
        # A signal handler's may have come between any two steps of its own.
        if not is_to_go_on and not poller.loops:
            _of_thread.pollers.pop(id(map), None)
            poller.close()


def _poller_of(map: dict[int, Any]) -> _Poller:
    """This thread's poller for *map*; a nested loop shares that of the outer one."""
    pollers = _of_thread.pollers
    poller = pollers.get(id(map))
    if poller is None:
        for key, other in list(pollers.items()):
            if not other.loops:
                del pollers[key]
                other.close()
        poller = pollers[id(map)] = _Poller(map)
    return poller


def interrupt() -> None:
    """Have this thread's loop raise KeyboardInterrupt before it next waits.

    For signal handlers: what is being handled when the signal comes is handled to its
    end.  Where no loop runs, or it waits, this raises the exception.
    """
    running = [poller for poller in _of_thread.pollers.values() if poller.loops]
    if not running or any(poller.is_waiting for poller in running):
        raise KeyboardInterrupt
    _of_thread.is_interrupted = True


def is_running_on(map: dict[int, Any]) -> bool:
    """Whether it is this thread's `loop` that serves the dispatchers in *map*."""
    poller = _of_thread.pollers.get(id(map))
    return poller is not None and poller.loops > 0


class _Poller(Watch):
    """One that takes turns: asks who wants what, waits, and has it done."""

    def __init__(self, map: dict[int, Any]) -> None:
        super().__init__(map)
        #: How many calls of `loop` use it.
        self.loops = 0
        self.is_waiting = False
        self._turns = 0
        self._look_after = 0.0
        self._accept_later = False
        #: Seconds until some server is to look for idle clients.
        self._sweep_after: float | None = None

    def turn(self, timeout: float | None) -> None:
        """Wait until something can be read or written, and have it done."""
        self._turns += 1
        turn = self._turns
        for fd, events in self._wait(timeout):
            dispatcher = self._watched.get(fd)
            if events & ~(CAN_READ | CAN_WRITE):
                events = self.as_wanted(fd)
            writes = events & ~CAN_READ
            if writes or fd not in self._notifying:
                self._changed.add(fd)
            if self._map.get(fd) is not dispatcher or dispatcher is None:
                self._changed.add(fd)
                self._is_stale = self._is_stale or fd in self._closed
                continue
            if fd in self._resting:
                self._resting.discard(fd)
                if not dispatcher.readable():
                    self._set_events(fd, dispatcher, self._events[fd] & ~READ)
                    continue
            if not self._has_stock_wants(fd, dispatcher):
                self._changed.add(fd)
                continue  # it is asked before it is called
            if events & ~CAN_WRITE:
                asyncore.read(dispatcher)
            if turn != self._turns:
                break  # a handler has run a loop, which may have served the others
            if writes and self._map.get(fd) is dispatcher:
                asyncore.write(dispatcher)
            if turn != self._turns:
                break

    def _wait(self, timeout: float | None) -> Ready:
        """Ask who wants what, and wait for some of it, at most *timeout* seconds."""
        now = time.monotonic()
        end = _NEVER if timeout is None else now + timeout
        while True:
            is_looking = (
                now >= self._look_after or self._accept_later or not self._servers
            )
            self.refresh(now, is_looking)
            if not self._map:
                return []
            until = end
            if self._pools or self._accept_later or self._sweep_after is not None:
                until = self._alarm(now, end)
            looks_soon = not is_looking and self._look_after < until
            ready = self._select(self._look_after if looks_soon else until, now)
            if ready:
                return ready
            started, now = now, time.monotonic()
            if looks_soon:
                self._look_after = now
                continue
            if now - started < (until - started) / 2:
                self._start_afresh()
            return ready

    def _alarm(self, now: float, end: float) -> float:
        """When something is to be done though nothing has happened, *end* at last."""
        if self._accept_later:
            end = min(end, now + _ACCEPT_RETRY)
        if self._sweep_after is not None:
            end = min(end, now + self._sweep_after)
        for pool in self._pools:
            if pool.alarm is not None:
                end = min(end, pool.alarm)
        return end

    def _select(self, until: float, now: float) -> Ready:
        self.is_waiting = True
        try:
            if _of_thread.is_interrupted:
                _of_thread.is_interrupted = False
                raise KeyboardInterrupt
            if until == _NEVER:
                return self.ready(-1.0)
            return self.ready(min(until - now, _LONGEST_WAIT) if until > now else 0.0)
        finally:
            self.is_waiting = False

    def refresh(self, now: float, is_looking: bool) -> None:
        """Find out who wants what.

        :param is_looking: whether to ask the servers, too.
        """
        if self.is_forked() or (
            self._better_after is not None and now > self._better_after
        ):
            # A forked child would share an epoll with its parent.
            self._start_afresh()
        if self.is_displaced:
            self.is_displaced = False
            for fd in list(self._watched):
                self.forget(fd)
        if self._pools:
            for pool in list(self._pools):
                if pool.alarm is not None and pool.alarm <= now:
                    pool.sweep(now)
        if is_looking:
            self._look_after = now + _LOOK_PAUSE
            self._accept_later = False
            self._sweep_after = None
            self._changed.update(self._servers)
        else:
            for fd, server in self._servers.items():
                if server.socket is not self._sockets.get(fd):
                    self._changed.add(fd)
        if self._asked:
            self._changed.update(self._asked)
        if self._changed:
            self._ask()
        # Now that those which left are known, so are those which came.
        came = self._newest()
        if came:
            self._changed.update(came)
            self._ask()
        if len(self._map) != len(self._watched):
            self._changed.update(set(self._map).symmetric_difference(self._watched))
            self._ask()
        if self._is_stale:
            self._start_afresh()
            self._ask()

    def _newest(self) -> list[Any]:
        """The descriptors at the end of the map, where a dict has what came last.

        One look more tells whether the number of them tells the truth: others may have
        left without a word, and each newcomer may have the descriptor of one.
        """
        came = len(self._map) - len(self._watched)
        try:
            newest = reversed(self._map)
            if came > 0:
                fds = list(islice(newest, came + 1))
                if len(fds) > came and self._is_known(fds[-1]):
                    fds.pop()
                    return fds
            else:
                for fd in newest:
                    if self._map[fd] is self._watched.get(fd):
                        return []
                    break
            return [fd for fd in list(self._map) if not self._is_known(fd)]
        except (TypeError, KeyError, RuntimeError):
            pass  # no dict, or changed by another thread
        return []

    def _is_known(self, fd: int) -> bool:
        return self._map[fd] is self._watched.get(fd)

    def _ask(self) -> None:
        """Ask those to which something has happened what they want."""
        changed = self._changed
        while changed:
            self.update_interest(changed.pop())

    def update_interest(self, fd: int) -> None:
        """Ask the dispatcher at *fd* what it wants, and watch for that."""
        dispatcher: Any = self._map.get(fd)
        if dispatcher is None:
            self.forget(fd)
            return
        # One that connects again often gets its old descriptor again.
        socket = look_up(dispatcher, "socket")
        if (
            dispatcher is not self._watched.get(fd)
            or socket is not self._sockets[fd]
            or not self._has_stock_wants(fd, dispatcher)
        ):
            self.forget(fd)
            self.register(fd, dispatcher)
            self._sockets[fd] = socket
        reads, writes = dispatcher.readable(), dispatcher.writable()
        if fd not in self._notifying:
            if dispatcher.accepting:
                reads = reads and not _is_paused(dispatcher)
                writes = False
                self._accept_later = self._accept_later or not reads
            # Only servers of this package look for idle clients.
            if hasattr(type(dispatcher), "_smtpd_idle_timeout"):
                self._note_idle_timeout(dispatcher._smtpd_idle_timeout())
        events = (READ if reads else 0) | (WRITE if writes else 0)
        before = self._events.get(fd, 0)
        # Asking may have closed it.
        if events == before or self._map.get(fd) is not dispatcher:
            return
        if not events and before == READ and fd in self._notifying:
            # A channel whose message is in hand, most likely: it will read again soon.
            self._resting.add(fd)
        else:
            self._set_events(fd, dispatcher, events)

    def _has_stock_wants(self, fd: int, dispatcher: Any) -> bool:
        """Whether it tells what it wants as it did when it came.

        One for which something has been assigned is to be asked in every turn.
        """
        notifier = self._notifying.get(fd)
        if notifier is not None and notifier is not dispatcher:
            stock: bool = notifier.has_stock_wants(dispatcher)
            return stock
        return fd not in self._servers or dispatcher._smtpd_has_stock_wants()

    def _note_idle_timeout(self, idle_timeout: float | None) -> None:
        if idle_timeout is not None:
            after = max(idle_timeout / 10, _SWEEP_PAUSE)
            self._sweep_after = min(after, self._sweep_after or 30.0)


def _wants(dispatcher: Any) -> tuple[bool, bool]:
    """Whether *dispatcher* is to be watched for reading, and for writing."""
    reads = bool(dispatcher.readable()) and not _is_paused(dispatcher)
    return reads, bool(dispatcher.writable()) and not dispatcher.accepting


def _is_paused(dispatcher: Any) -> bool:
    """Whether *dispatcher* is a server that cannot accept for now."""
    # A test's stand-in may have every name, but its class has not.
    is_paused = getattr(type(dispatcher), "_smtpd_is_paused", None)
    return is_paused is not None and bool(is_paused(dispatcher))


def wait_for_others(server: Any, map: dict[int, Any], seconds: float) -> None:
    """Wait until another dispatcher has something to do, at most *seconds*."""
    with make_do() as selector:
        for fd, dispatcher in list(map.items()):
            reads, writes = (False, False)
            if dispatcher is not server:
                reads, writes = _wants(dispatcher)
            if reads or writes:
                with suppress(OSError, ValueError):  # closed, and still in the map
                    selector.register(fd, reads * READ | writes * WRITE)
        if selector.get_map():
            selector.select(seconds)
        else:  # which Windows does not wait for
            time.sleep(seconds)


def select_cannot_hold(conn: Any, map: dict[int, Any]) -> bool:
    """Whether the running loop is one on select, and *conn* is too much for it."""
    taken = len(map) if sys.platform == "win32" else conn.fileno()
    if taken < _SELECT_HOLDS:
        return False
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code is asyncore.poll.__code__:
            return True
        if frame.f_code is _Poller.turn.__code__:
            return bool(frame.f_locals["self"].is_select)
        frame = frame.f_back
    return False
