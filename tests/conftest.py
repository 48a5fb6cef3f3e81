"""Every test hands back what it took: threads, sockets, socket-map entries."""

from __future__ import annotations

import gc
import os
import socket
import threading
import warnings
import weakref
from collections.abc import Iterator

import pytest

import smtpd_compat
from smtpd_compat import asyncore
from smtpd_compat._eras import _calls, _warnings
from tests.support.collecting import collect


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
        collect()
    assert not _open_sockets() - sockets, "the test left a socket open"


@pytest.fixture
def named_mx_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """This host is called mx.test."""
    monkeypatch.setattr(smtpd_compat.socket, "getfqdn", lambda name="": "mx.test")


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[warnings.WarningMessage]]:
    """The warnings, as if nothing had been seen before."""
    monkeypatch.setattr(_warnings, "_warned", set())
    for arguments in (
        _calls._HANDLER_CALLS,
        _calls._CHANNEL_CALLS,
        _calls._SERVER_CALLS,
    ):
        monkeypatch.setattr(arguments, "_plans", weakref.WeakKeyDictionary())
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        yield record
