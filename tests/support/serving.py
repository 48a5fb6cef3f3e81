"""Run a server's asyncore loop in a thread for as long as a ``with`` block."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any, Callable

from smtpd_compat import asyncore


class _StopLoop(asyncore.dispatcher):
    """Leaves the loop, from inside, as soon as the other end is closed."""

    def __init__(self, map: dict[int, Any]) -> None:
        self.far_end, near_end = socket.socketpair()
        super().__init__(near_end, map)

    def writable(self) -> bool:
        return False

    def handle_read(self) -> None:
        raise asyncore.ExitNow("the test is over")


@contextlib.contextmanager
def looping(
    map: dict[int, Any], loop: Callable[..., None] = asyncore.loop
) -> Iterator[list[BaseException]]:
    """Run *loop* over *map* in a thread; close everything in *map* at the end.

    Yields a list which holds the exception that ended the loop early, if one did.
    """
    stopper = _StopLoop(map)
    escaped: list[BaseException] = []

    def run() -> None:
        try:
            loop(timeout=30, map=map)
        except asyncore.ExitNow:
            pass
        except BaseException as error:
            escaped.append(error)

    thread = threading.Thread(target=run, name="asyncore loop")
    thread.start()
    try:
        yield escaped
    finally:
        stopper.far_end.close()
        thread.join()
        asyncore.close_all(map, ignore_all=True)


@contextlib.contextmanager
def serving(
    factory: Callable[..., Any],
    remoteaddr: Any = None,
    *args: Any,
    loop: Callable[..., None] = asyncore.loop,
    localaddr: Any = ("127.0.0.1", 0),
    **kwargs: Any,
) -> Iterator[Any]:
    """Serve ``factory(localaddr, remoteaddr, *args, map={}, **kwargs)``."""
    map: dict[int, Any] = {}
    server = factory(localaddr, remoteaddr, *args, map=map, **kwargs)
    with looping(map, loop):
        yield server


def address(server: Any) -> tuple[str, int]:
    """The host and the port on which *server* listens."""
    host, port = server.socket.getsockname()[:2]
    return host, port
