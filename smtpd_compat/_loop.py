"""A loop over asyncore's socket map to which idle connections cost nothing.

asyncore asks every dispatcher, in every turn, whether it wants to read or to write.
Here a channel of this package is asked only after something happened to it; all other
dispatchers may change their minds unseen, and are asked as asyncore asks them.
"""

from __future__ import annotations

import sys
import time

from ._asyncore import asyncore
from ._channel import SMTPChannel
from ._settings import setting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

#: The descriptors that select can hold (FD_SETSIZE); on Windows it counts sockets.
_SELECT_HOLDS = 512 if sys.platform == "win32" else 1024

#: Seconds between two looks at a server that cannot accept for now.
_ACCEPT_RETRY = 0.5

#: Seconds between two looks for idle clients, at the least.
_SWEEP_PAUSE = 0.1

#: A channel that leaves these alone says itself when it has changed.
_TELLING = ("readable", "writable", "initiate_send", "del_channel", "close_when_done")

#: The loops that run now; two over one map where a handler runs a loop of its own.
_running: list[_Watch] = []


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
    watch = _Watch(map)
    _running.append(watch)
    try:
        while map and (count is None or count > 0):
            watch.turn(timeout)
            if count is not None:
                count -= 1
    except PermissionError:
        # A regular file, which epoll refuses and poll reports as always ready.
        if not watch.refused:
            raise
        asyncore.loop(timeout, True, map, count)  # type: ignore[arg-type]
    finally:
        watch.end()


class _Watch:
    """What a selector watches for the dispatchers in a socket map."""

    def __init__(self, map: dict[int, Any]) -> None:
        import selectors

        self._read = selectors.EVENT_READ
        self._write = selectors.EVENT_WRITE
        self._new_selector = selectors.DefaultSelector
        self._selector = self._new_selector()
        self.is_select = isinstance(self._selector, selectors.SelectSelector)
        self._map = map
        self._watched: dict[int, Any] = {}
        self._sockets: dict[int, Any] = {}
        self._events: dict[int, int] = {}
        #: Those that are asked in every turn.
        self._asked: dict[int, Any] = {}
        #: The descriptors of those to which something happened.
        self._changed: list[int] = []
        self._accept_later = False
        #: Seconds until some server is to look for idle clients.
        self._sweep_after: float | None = None
        #: Whether the selector would not take a descriptor.
        self.refused = False

    def turn(self, timeout: float | None) -> None:
        """Wait until something can be read or written, and have it done."""
        self._look()
        if self._accept_later:
            timeout = _ACCEPT_RETRY if timeout is None else min(timeout, _ACCEPT_RETRY)
        if self._sweep_after is not None:
            after = self._sweep_after
            timeout = after if timeout is None else min(timeout, after)
        started = time.monotonic()
        ready = self._selector.select(timeout)
        if not ready and (timeout is None or time.monotonic() - started < timeout / 2):
            self._start_afresh()
        for key, events in ready:
            fd = key.fd
            self._changed.append(fd)
            dispatcher = self._watched.get(fd)
            if dispatcher is None:  # a handler has run a loop of its own
                continue
            if events & self._read and self._map.get(fd) is dispatcher:
                asyncore.read(dispatcher)
            if events & self._write and self._map.get(fd) is dispatcher:
                asyncore.write(dispatcher)

    def end(self) -> None:
        """Watch nothing any more."""
        _running.remove(self)
        self._forget_all()
        self._selector.close()
        for watch in _running:
            if watch._map is self._map:
                watch._forget_all()

    def _start_afresh(self) -> None:
        """Register everything anew.

        A socket that was closed here while a forked child still holds it is reported
        to epoll for ever, and nothing but this takes it out.
        """
        self._selector.close()
        self._selector = self._new_selector()
        self._events.clear()
        self._changed.extend(self._watched)

    def _look(self) -> None:
        """Find out who wants what."""
        self._accept_later = False
        self._sweep_after = None
        for fd in list(self._asked):
            self._ask(fd)
        while self._changed:
            self._ask(self._changed.pop())
        if len(self._map) != len(self._watched):
            for fd in self._map.keys() ^ self._watched.keys():
                self._ask(fd)

    def _ask(self, fd: int) -> None:
        dispatcher = self._map.get(fd)
        # One that connects again often gets its old descriptor again.
        socket = getattr(dispatcher, "socket", None)
        if dispatcher is not self._watched.get(fd) or socket is not self._sockets.get(
            fd
        ):
            self._forget(fd)
            if dispatcher is not None:
                self._adopt(fd, dispatcher)
                self._sockets[fd] = socket
        if dispatcher is None:
            return
        events = 0
        if dispatcher.readable():
            events |= self._read
        elif dispatcher.accepting:
            self._accept_later = True
        idle_timeout = setting(dispatcher, "idle_timeout")
        if dispatcher.accepting and idle_timeout is not None:
            after = max(idle_timeout / 10, _SWEEP_PAUSE)
            self._sweep_after = min(after, self._sweep_after or 30.0)
        if dispatcher.writable() and not dispatcher.accepting:
            events |= self._write
        # Asking may have closed it.
        if self._map.get(fd) is dispatcher and events != self._events.get(fd, 0):
            self._set_events(fd, events)

    def _adopt(self, fd: int, dispatcher: Any) -> None:
        self._watched[fd] = dispatcher
        if isinstance(dispatcher, SMTPChannel) and all(
            dispatcher._smtpd.is_stock(dispatcher, name) for name in _TELLING
        ):
            dispatcher._smtpd.on_change = self._changed.append
        else:
            self._asked[fd] = dispatcher

    def _forget(self, fd: int) -> None:
        dispatcher = self._watched.pop(fd, None)
        if isinstance(dispatcher, SMTPChannel):
            dispatcher._smtpd.on_change = None
        self._asked.pop(fd, None)
        self._sockets.pop(fd, None)
        if self._events.pop(fd, 0):
            self._selector.unregister(fd)

    def _forget_all(self) -> None:
        for fd in list(self._watched):
            self._forget(fd)

    def _set_events(self, fd: int, events: int) -> None:
        before = self._events.pop(fd, 0)
        try:
            if not events:
                self._selector.unregister(fd)
            elif before:
                self._selector.modify(fd, events)
            else:
                self._selector.register(fd, events)
        except PermissionError:
            self.refused = True
            raise
        except (OSError, ValueError):
            # Closed without leaving the map; asyncore's poll hears of it like this.
            self._map[fd].handle_close()
            return
        if events:
            self._events[fd] = events


def select_cannot_hold(conn: Any, map: dict[int, Any]) -> bool:
    """Whether the running loop is one on select, and *conn* is too much for it."""
    taken = len(map) if sys.platform == "win32" else conn.fileno()
    if taken < _SELECT_HOLDS:
        return False
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code is asyncore.poll.__code__:
            return True
        if frame.f_code is _Watch.turn.__code__:
            return bool(frame.f_locals["self"].is_select)
        frame = frame.f_back
    return False
