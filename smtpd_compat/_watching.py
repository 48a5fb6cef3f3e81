"""What `loop` watches: a selector, and who is behind each of its descriptors."""

from __future__ import annotations

import errno
import os
import select
import sys
import threading
import time
from functools import partial

from ._asyncore import LEAVING
from ._channel import SMTPChannel

TYPE_CHECKING = bool()
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    #: Descriptors, and what can be done, in the masks of poll; an error or an end is
    #: for both.
    Ready = list[tuple[int, int]]

#: Seconds between two attempts at having something better than poll.
_MAKESHIFT_PAUSE = 1.0

#: ``selectors.EVENT_READ`` and ``EVENT_WRITE``; that module is imported when needed.
READ, WRITE = 1, 2

#: ``select.POLLIN`` and ``POLLOUT``, which Windows has not.
CAN_READ, CAN_WRITE = 1, 4

_MASKS = {READ: CAN_READ, WRITE: CAN_WRITE, READ | WRITE: CAN_READ | CAN_WRITE}

#: Events that epoll reports in one turn; the others come first in the next.
_EVENTS_PER_TURN = 256

#: Why a selector cannot watch something that is open: a regular file, or no room.
_UNWATCHABLE = frozenset((errno.EPERM, errno.ENOSPC, errno.ENOMEM))

#: A channel that leaves these alone says itself when it has changed.
_NOTIFYING = (
    "close_when_done",
    "del_channel",
    "handle_read_event",
    "initiate_send",
    "readable",
    "writable",
)


class Watch:
    """What a selector watches for the dispatchers in a socket map."""

    def __init__(self, map: dict[int, Any]) -> None:
        import selectors

        self._selectors = selectors
        self._map = map
        self._thread = threading.get_ident()
        self._watched: dict[int, Any] = {}
        self._sockets: dict[int, Any] = {}
        self._events: dict[int, int] = {}
        #: Those that are asked in every turn.
        self._asked: dict[int, Any] = {}
        #: Servers of this package, which are asked when nothing else happens, and now
        #: and then.
        self._servers: dict[int, Any] = {}
        #: Of the others: what tells this poller when they have changed.
        self._notifying: dict[int, Any] = {}
        #: Channels that read nothing for now, and are watched for reading all the same.
        self._resting: set[int] = set()
        #: The pools of a relay's sessions, which have alarms; how many sessions each.
        self._pools: dict[Any, int] = {}
        #: The descriptors of those to which something happened.
        self._changed: set[int] = set()
        #: Descriptors that were closed before they could be taken out of the selector:
        #: epoll goes on reporting what another process holds.  And whether a child that
        #: was forked meanwhile may.
        self._closed: dict[int, bool] = {}
        #: How many children there had been when each was registered.
        self._children: dict[int, int] = {}
        #: Some of these are reported, or about to be used again.
        self._is_stale = False
        #: Tells which one, by descriptor, is to be asked again.
        self.notify = self._changed.add
        #: Another poller has taken some of these channels, which tell that one now.
        self.is_displaced = False
        self._open()

    def _open(self) -> None:
        """Make a selector, the best there is."""
        self._forks = _forks
        self._better_after: float | None = None
        best: Any = self._selectors.DefaultSelector
        if best is getattr(self._selectors, "EpollSelector", None) and hasattr(
            select,
            "epoll",  # a monkey patch may have taken it out
        ):
            best = _Epoll
        try:
            self._use(best())
        except OSError:  # no descriptor left
            self._make_do()

    def _use(self, selector: Any) -> None:
        self._selector = selector
        #: Waits some seconds at most, or for ever (-1).
        self.ready: Callable[[float], Ready] = (
            selector.ready if type(selector) is _Epoll else partial(_ready, selector)
        )

    def _make_do(self) -> None:
        self._use(make_do())
        self._better_after = time.monotonic() + _MAKESHIFT_PAUSE

    def ask_everybody(self) -> None:
        """In the next turn, that is."""
        self._changed.update(self._watched)

    def _watch_all_anew(self) -> None:
        self._events.clear()
        self.ask_everybody()

    def is_forked(self) -> bool:
        """Whether this is a child's copy, whose epoll is its parent's, too."""
        return self._forks != _forks

    @property
    def is_select(self) -> bool:
        """Whether it cannot hold more descriptors than select can."""
        return isinstance(self._selector, self._selectors.SelectSelector)

    def close(self) -> None:
        """Watch nothing any more."""
        for fd in list(self._watched):
            self.forget(fd)
        self._selector.close()

    def _start_afresh(self) -> None:
        """Register everything anew.

        A socket that was closed here while a forked child still holds it is reported
        to epoll for ever, and nothing but this takes it out.  The new selector is made
        first: another thread might take the descriptor that the old one gives back.
        """
        old = self._selector
        self._open()
        old.close()
        self._closed.clear()
        self._is_stale = False
        self._watch_all_anew()

    def register(self, fd: int, dispatcher: Any) -> None:
        """Keep *dispatcher*, which is new at *fd*."""
        self._watched[fd] = dispatcher
        self._children[fd] = _children
        if self._closed and self._closed.pop(fd, False):
            self._is_stale = True  # what a child holds would be taken for this one's
        notifier = _notifier_of(dispatcher)
        if notifier is None:
            is_stock = getattr(type(dispatcher), "_smtpd_has_stock_wants", None)
            is_server = is_stock is not None and is_stock(dispatcher)
            (self._servers if is_server else self._asked)[fd] = dispatcher
            return
        if notifier.poller is not None and notifier.poller is not self:
            notifier.poller.is_displaced = True
        notifier.poller = self
        self._notifying[fd] = notifier
        pool = getattr(notifier, "pool", None)
        if pool is not None:
            self._pools[pool] = self._pools.get(pool, 0) + 1

    def leaves(self, fd: int) -> None:
        """A channel leaves the map, and its socket is still open.

        Closed first, it would stay in the epoll where a forked child holds it as well,
        and what is reported of it would be taken for the next one's at its descriptor.
        """
        if threading.get_ident() == self._thread:
            self.forget(fd)
        else:
            self.notify(fd)

    def forget(self, fd: int) -> None:
        """Watch *fd* no more."""
        self._watched.pop(fd, None)
        notifier = self._notifying.pop(fd, None)
        if notifier is not None and notifier.poller is self:
            notifier.poller = None
        pool = getattr(notifier, "pool", None)
        if pool is not None:
            self._pools[pool] -= 1
            if not self._pools[pool]:
                del self._pools[pool]
        self._asked.pop(fd, None)
        self._servers.pop(fd, None)
        self._resting.discard(fd)
        self._sockets.pop(fd, None)
        before = self._children.pop(fd, _children)
        # A forked child shares an epoll with its parent, who watches on.
        if self._events.pop(fd, 0) and self._forks == _forks:
            if not self._selector.unregister(fd):
                self._closed[fd] = before != _children

    def as_wanted(self, fd: int) -> int:
        """What an error or an end is for the one at *fd*: what it waits for."""
        return _MASKS.get(self._events.get(fd, 0), 0)

    def _set_events(self, fd: int, dispatcher: Any, events: int) -> None:
        before = self._events.pop(fd, 0)
        try:
            if not events:
                self._selector.unregister(fd)
            elif before:
                self._selector.modify(fd, events)
            else:
                self._selector.register(fd, events)
        except (OSError, ValueError) as error:
            if getattr(error, "errno", None) in _UNWATCHABLE:
                # Poll has room, and calls a regular file always ready.
                self._selector.close()
                self._make_do()
                self._watch_all_anew()
            else:
                # Closed without leaving the map; asyncore's poll hears of it like this.
                _tell_of_close(dispatcher)
        else:
            self._events[fd] = events


class _Epoll:
    """What a poller needs of a selector, on epoll.

    The one of `selectors` takes three times as long to tell what is ready.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self.ready = partial(self._epoll.poll, maxevents=_EVENTS_PER_TURN)
        self.close = self._epoll.close

    def register(self, fd: int, events: int) -> None:
        self._epoll.register(fd, _MASKS[events])

    def modify(self, fd: int, events: int) -> None:
        self._epoll.modify(fd, _MASKS[events])

    def unregister(self, fd: int) -> bool:
        """Whether it was there still; it was closed if not."""
        try:
            if sys.version_info < (3, 9):  # what follows says nothing of a closed one
                self._epoll.modify(fd, 0)
            self._epoll.unregister(fd)
        except OSError:
            return False
        return True


def _ready(selector: Any, timeout: float) -> Ready:
    ready = selector.select(None if timeout < 0 else timeout)
    return [(key.fd, _MASKS[events]) for key, events in ready]


def _notifier_of(dispatcher: Any) -> Any:
    """What tells its poller when *dispatcher* has changed; None: ask in every turn."""
    if isinstance(dispatcher, SMTPChannel):
        stream = dispatcher._smtpd
        return (
            stream if all(stream.is_stock(dispatcher, n) for n in _NOTIFYING) else None
        )
    # A test's stand-in may have every name, but its class has not.
    return dispatcher if getattr(type(dispatcher), "_smtpd_notifies", False) else None


def make_do() -> Any:
    """A selector that needs no descriptor of its own, and takes any file."""
    import selectors

    return getattr(selectors, "PollSelector", selectors.SelectSelector)()


def _tell_of_close(dispatcher: Any) -> None:
    try:
        dispatcher.handle_close()
    except LEAVING:
        raise
    except BaseException:  # noqa: BLE001 - as asyncore does
        dispatcher.handle_error()


#: How many forks led to this process since the import; and a look costs nothing.
_forks = 0

#: How many this process has forked itself.
_children = 0


def _has_forked() -> None:
    global _forks
    _forks += 1


def _has_a_child() -> None:
    global _children
    _children += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_has_forked, after_in_parent=_has_a_child)
