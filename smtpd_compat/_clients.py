"""A server's clients: how many are connected, and which have been silent too long."""

from __future__ import annotations

import time

from ._asyncore import asyncore
from ._channel import SMTPChannel
from ._loop import select_cannot_hold
from ._settings import look_up, setting

TYPE_CHECKING = bool()
if TYPE_CHECKING:
    from typing import Any

    from ._server import SMTPServer

#: Seconds between two counts of the channels, at a limit.
_COUNT_PAUSE = 0.5


class Clients:
    """What a server keeps of its clients, and what it does with them.

    The server is handed in, since an object that kept it would not be freed with it.
    """

    __slots__ = ("_count_again", "_counted_in", "_sweep_again", "descriptors")

    def __init__(self) -> None:
        #: Of the connections that were accepted and are not known to be closed.
        self.descriptors: set[int] = set()
        #: The size of the map when the channels were last counted in it.
        self._counted_in = 0
        self._count_again = 0.0
        self._sweep_again = 0.0

    def is_full_for(self, server: SMTPServer, conn: Any) -> bool:
        """Whether *conn* is one more than the server, or the loop, can have."""
        limit = setting(server, "connection_limit")
        is_full = (
            limit is not None
            and len(self.descriptors) >= limit
            and self._count(server) >= limit
        )
        return is_full or select_cannot_hold(conn, server._map)

    def _count(self, server: SMTPServer) -> int:
        """How many channels are open.

        Those of other classes, and those taken out of the map by others, do not tell
        when they close.  So they are counted in the map, but not for every client that
        a full server refuses.
        """
        now = time.monotonic()
        size = len(server._map)
        if size != self._counted_in or now > self._count_again:
            channels = channels_of(server)
            self.descriptors = {channel._fileno for channel in channels}
            if all(isinstance(channel, SMTPChannel) for channel in channels):
                self._counted_in = size
                self._count_again = now + _COUNT_PAUSE
        return len(self.descriptors)

    def has_closed(self, server: SMTPServer, descriptor: Any) -> None:
        """A channel has closed, and given back its *descriptor*."""
        self.descriptors.discard(descriptor)
        if server.accepting or self.descriptors:
            return
        sweeper = Sweeper.key(server)
        if sweeper in server._map and not channels_of(server):
            del server._map[sweeper]  # or asyncore would wait for what never comes

    def sweep(self, server: SMTPServer) -> None:
        """Close the channels that have been idle for too long."""
        timeout = server._smtpd_idle_timeout()
        now = time.monotonic()
        if timeout is None or now < self._sweep_again:
            return
        self._sweep_again = now + min(timeout / 10, 1.0)
        channels = channels_of(server)
        for channel in channels:
            if isinstance(channel, SMTPChannel):
                channel._smtpd.close_if_idle(channel, now, timeout)
        if not channels:
            server._map.pop(Sweeper.key(server), None)


class Sweeper:
    """In the place of a server that has closed, takes leave of its idle clients.

    asyncore asks it in every turn, as it asked the server; it has no descriptor, and
    never wants one watched.
    """

    accepting = False

    def __init__(self, server: SMTPServer, map: dict[int, Any]) -> None:
        self._server = server
        self._map = map
        # asyncore has to ask it before the channels: then what it wants of them is done
        # in the same turn.
        # A loop in another thread would end if it found the map empty.
        others = list(map)
        map[self.key(server)] = self
        for descriptor in others:
            entry = map.pop(descriptor, None)
            if entry is not None:
                map[descriptor] = entry

    @staticmethod
    def key(server: SMTPServer) -> int:
        return -id(server)  # no descriptor is negative

    def _smtpd_idle_timeout(self) -> float | None:
        return self._server._smtpd_idle_timeout()

    def readable(self) -> bool:
        self._server._smtpd_clients().sweep(self._server)
        return False

    def writable(self) -> bool:
        return False

    def close(self) -> None:
        self._map.pop(self.key(self._server), None)


def channels_of(server: SMTPServer) -> list[Any]:
    """The channels, of whatever class, that *server* has in its map."""
    return [
        entry
        for entry in list(server._map.values())
        if look_up(entry, "smtp_server") is server
    ]


def forget(server: SMTPServer, conn: Any) -> None:
    """Take a channel that was half built out of the socket map.

    One of three arguments has put itself into asyncore's own.
    """
    for map in (server._map, asyncore.socket_map):
        for descriptor, entry in list(map.items()):
            if look_up(entry, "socket") is conn:
                del map[descriptor]
