"""Every test hands back what it took: threads, sockets, socket-map entries."""

from __future__ import annotations

import gc
import os
import socket
import threading
from collections.abc import Iterator

import pytest

from smtpd_compat import asyncore


def _open_sockets() -> set[str]:
    if os.path.isdir("/proc/self/fd"):
        links = set()
        for descriptor in os.listdir("/proc/self/fd"):
            try:
                link = os.readlink("/proc/self/fd/" + descriptor)
            except OSError:
                continue
            if link.startswith("socket:"):
                links.add(link)
        return links
    return {
        repr(thing)
        for thing in gc.get_objects()
        if isinstance(thing, socket.socket) and thing.fileno() != -1
    }


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    threads = set(threading.enumerate())
    sockets = _open_sockets()
    entries = dict(asyncore.socket_map)
    yield
    assert set(threading.enumerate()) <= threads, "the test left a thread running"
    assert asyncore.socket_map == entries, "the test left a socket-map entry"
    if _open_sockets() - sockets:
        gc.collect()
    assert not _open_sockets() - sockets, "the test left a socket open"
