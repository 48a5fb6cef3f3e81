"""Clients that send octets and read replies, and servers whose loop a test turns."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import time
from collections.abc import Iterator
from typing import Any, Callable

from smtpd_compat import asyncore

from .serving import address

#: Seconds after which a test gives up waiting.
PATIENCE = 20.0

_LAST_LINE = re.compile(rb"[0-9]{3} ")


class Client:
    """One end of a connection.  What is sent and read are octets, with CRLF."""

    def __init__(self, where: Any, family: int = socket.AF_INET) -> None:
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(PATIENCE)
        if family != getattr(socket, "AF_UNIX", None):
            # Small segments do not wait for the acknowledgement of those before.
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.socket.connect(where)
        except BaseException:
            self.socket.close()
            raise
        self._unread = b""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *args: object) -> None:
        self.socket.close()

    def send(self, *pieces: bytes) -> None:
        """Send each of *pieces*."""
        for piece in pieces:
            self.socket.sendall(piece)

    def line(self) -> bytes:
        """The next line, b"" at the end."""
        while b"\r\n" not in self._unread:
            if not self._receive():
                line, self._unread = self._unread, b""
                return line
        line, _, self._unread = self._unread.partition(b"\r\n")
        return line + b"\r\n"

    def reply(self) -> bytes:
        """The next reply with all its lines, b"" at the end."""
        lines = [self.line()]
        while lines[-1] and not _LAST_LINE.match(lines[-1]):
            lines.append(self.line())
        return b"".join(lines)

    def replies(self, count: int) -> list[bytes]:
        """The next *count* replies."""
        return [self.reply() for _ in range(count)]

    def say(self, line: bytes) -> bytes:
        """Send *line*, which gets its CRLF here, and read the reply."""
        self.send(line + b"\r\n")
        return self.reply()

    def rest(self) -> bytes:
        """All that comes up to the end of the connection."""
        while self._receive():
            pass
        rest, self._unread = self._unread, b""
        return rest

    def codes(self) -> list[bytes]:
        """The codes of all replies up to the end of the connection."""
        return [
            line[:3]
            for line in self.rest().split(b"\r\n")[:-1]
            if _LAST_LINE.match(line)
        ]

    def no_more(self) -> None:
        """Send the end of what this side says; go on reading."""
        self.socket.shutdown(socket.SHUT_WR)

    def vanish(self) -> None:
        """Close with a reset, as a client that crashes."""
        self.socket.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        self.socket.close()

    def close(self) -> None:
        """Close."""
        self.socket.close()

    def has_input(self) -> bool:
        """Whether something, or the end, can be read now."""
        if self._unread:
            return True
        timeout = self.socket.gettimeout()
        self.socket.setblocking(False)
        try:
            self.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except ConnectionError:
            pass
        finally:
            self.socket.settimeout(timeout)
        return True

    def _receive(self) -> bool:
        try:
            data = self.socket.recv(1 << 20)
        except (ConnectionResetError, BrokenPipeError):
            return False
        self._unread += data
        return bool(data)


@contextlib.contextmanager
def connected(server: Any) -> Iterator[Client]:
    """A client of *server* that has read the banner."""
    with Client(address(server)) as client:
        assert client.reply().startswith(b"220 ")
        yield client


class Stage:
    """A server, and a loop which turns when the test says so."""

    def __init__(
        self, server: Any, map: dict[int, Any], loop: Callable[..., None]
    ) -> None:
        self.server = server
        self.map = map
        self._loop = loop

    @property
    def channels(self) -> list[Any]:
        """The channels of the server that are open."""
        return [entry for entry in self.map.values() if hasattr(entry, "smtp_server")]

    def turn(self, count: int = 1, timeout: float = 0.0) -> None:
        """Turn the loop *count* times."""
        self._loop(timeout=timeout, map=self.map, count=count)

    def until(self, condition: Callable[[], Any]) -> None:
        """Turn the loop until *condition* holds."""
        gives_up_at = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < gives_up_at, "waited in vain"
            self.turn(timeout=0.01)

    def connect(self) -> Client:
        """A client that has read the banner."""
        client = Client(address(self.server))
        try:
            assert self.hear(client).startswith(b"220 ")
        except BaseException:
            client.close()
            raise
        return client

    def hear(self, client: Client) -> bytes:
        """The next reply to *client*."""
        self.until(client.has_input)
        return client.reply()

    def octets(self, client: Client, count: int) -> bytes:
        """The next *count* octets for *client*, however they come."""
        heard = b""
        while len(heard) < count:
            self.until(client.has_input)
            piece = client.socket.recv(count - len(heard))
            assert piece, heard
            heard += piece
        return heard

    def say(self, client: Client, line: bytes) -> bytes:
        """Have *client* send *line*, and return the reply."""
        client.send(line + b"\r\n")
        return self.hear(client)

    def rest(self, client: Client) -> bytes:
        """What comes for *client* up to the end of the connection."""
        heard = b""
        while True:
            self.until(client.has_input)
            line = client.line()
            heard += line
            if not line.endswith(b"\r\n"):
                return heard


@contextlib.contextmanager
def on_stage(
    factory: Callable[..., Any],
    *args: Any,
    loop: Callable[..., None] = asyncore.loop,
    map: dict[int, Any] | None = None,
    **kwargs: Any,
) -> Iterator[Stage]:
    """A `Stage` for ``factory(("127.0.0.1", 0), None, *args, map={}, **kwargs)``."""
    if map is None:
        map = {}
    server = factory(("127.0.0.1", 0), None, *args, map=map, **kwargs)
    try:
        yield Stage(server, map, loop)
    finally:
        asyncore.close_all(map, ignore_all=True)
