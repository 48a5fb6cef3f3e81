"""One session with a server in this thread, over a real pair of sockets."""

from __future__ import annotations

import contextlib
import io
import select
import socket
import time
import warnings
from typing import Any, Dict, Iterator, List, Sequence

import smtpd_compat
from smtpd_compat import asyncore

from . import accounts
from .configurations import Configuration

_PATIENCE = 20.0

#: What a channel may keep of its client's input beside what the limits allow: what is
#: received at once, twice, since pieces of lines are kept next to it.
_IN_FLIGHT = 2 * 65536

#: And of its own output: one turn's above the mark at which it stops to read.
_UNSENT = 8 << 20

LOOPS = {
    "select": asyncore.loop,
    "poll": lambda **kwargs: asyncore.loop(use_poll=True, **kwargs),
    "own": smtpd_compat.loop,
}


class Peered(socket.socket):
    """A socket that says who its peer is."""

    peer: Any = ""

    def getpeername(self) -> Any:
        return self.peer


class Outcome(AssertionError):
    """What is wrong with a session."""


def drive(
    configuration: Configuration, segments: Sequence[bytes], loop: str, ending: str
) -> None:
    """Hold a session, and check what came of it.

    ending: how the client goes: "close", or "end" if it ends its side and reads on.

    Raises Outcome.
    """
    with _stage(configuration) as (server, map):
        near_end, client = socket.socketpair()
        conn = Peered(fileno=near_end.detach())
        conn.peer = configuration.peer
        with contextlib.closing(client):
            client.setblocking(False)
            server.handle_accepted(conn, configuration.peer)
            session = _Session(server, map, client, LOOPS[loop])
            for segment in segments:
                session.send(segment)
            session.listen()
            if ending == "end":
                with contextlib.suppress(OSError):
                    client.shutdown(socket.SHUT_WR)
                session.until_closed()
        session.until_closed()
        errors = [line for line in server.errors if "OnPurpose" not in line]
        if errors:
            raise Outcome("an exception:\n" + "\n".join(errors))
        try:
            accounts.check(
                b"".join(segments),
                b"".join(session.heard),
                server.accepted,
                may_fail=configuration.fails,
            )
        except accounts.Unaccounted as error:
            raise Outcome(str(error)) from None


@contextlib.contextmanager
def _stage(configuration: Configuration) -> Iterator[Any]:
    map: Dict[int, Any] = {}
    debug = smtpd_compat.DEBUGSTREAM
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        if configuration.is_traced:
            smtpd_compat.DEBUGSTREAM = io.StringIO()
        server = configuration.make(
            ("127.0.0.1", 0), ("127.0.0.1", 9), map=map, **configuration.settings
        )
        try:
            server.channel_class = configuration.channel_class
            for name, value in configuration.attributes.items():
                setattr(server, name, value)
            yield server, map
        finally:
            smtpd_compat.DEBUGSTREAM = debug
            asyncore.close_all(map, ignore_all=True)


class _Session:
    def __init__(
        self, server: Any, map: Dict[int, Any], client: socket.socket, loop: Any
    ) -> None:
        self.heard: List[bytes] = []
        self._map = map
        self._client = client
        self._loop = loop
        self._server = server
        (self._channel,) = [entry for entry in map.values() if entry is not server]

    def send(self, segment: bytes) -> None:
        """Send a segment, and have the server read it."""
        while segment:
            try:
                segment = segment[self._client.send(segment) :]
            except BlockingIOError:
                pass
            except OSError:  # the server has closed
                return
            self._turn()
        self._turn()

    def listen(self) -> None:
        """Turn until the server has read everything and has answered it."""
        gives_up_at = time.monotonic() + _PATIENCE
        self._turn()
        while self._channel.connected and (
            self._channel._smtpd.hold is not None
            or self._channel.writable()
            or select.select([self._channel.socket], [], [], 0)[0]
        ):
            self._turn()
            if time.monotonic() > gives_up_at:
                raise Outcome("the server does not come to rest")

    def until_closed(self) -> None:
        """Turn until the channel has gone, as its client has."""
        gives_up_at = time.monotonic() + _PATIENCE
        while set(self._map.values()) - {self._server}:
            self._turn()
            if time.monotonic() > gives_up_at:
                raise Outcome("the channel stays though its client has gone")

    def _turn(self) -> None:
        waits = 0.01 if self._channel._smtpd.hold is not None else 0
        self._loop(timeout=waits, map=self._map, count=1)
        self._hear()
        self._measure()

    def _hear(self) -> None:
        while self._client.fileno() >= 0:
            try:
                data = self._client.recv(1 << 20)
            except OSError:
                return
            if not data:
                return
            self.heard.append(data)

    def _measure(self) -> None:
        channel = self._channel
        limit = channel.data_size_limit
        kept = len(channel.ac_in_buffer) + sum(map(len, channel.received_lines))
        if limit and kept > limit + _IN_FLIGHT:
            raise Outcome(f"{kept} octets of input are kept, the limit is {limit}")
        unsent = sum(len(piece) for piece in channel.producer_fifo if piece)
        if unsent > _UNSENT:
            raise Outcome(f"{unsent} octets of output are kept")
        if len(channel.command_size_limits) > 20:
            raise Outcome(f"limits fill up: {len(channel.command_size_limits)}")
