"""Hosts: our own name, a peer's, and where to listen."""

from __future__ import annotations

import socket

import smtpd_compat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SOCKET_PY = socket.create_connection.__code__.co_filename
_own_name: str | None = None


def host_name() -> str:
    """``socket.getfqdn()``, which may ask a name server, so only once a process.

    One that somebody has put in its place is called every time.
    """
    global _own_name
    getfqdn = smtpd_compat.socket.getfqdn
    code = getattr(getfqdn, "__code__", None)
    if code is None or code.co_filename != _SOCKET_PY:
        return getfqdn()
    if _own_name is None:
        _own_name = getfqdn()
    return _own_name


def peer_host(peer: Any) -> str | None:
    """The host in a socket's peer address; None where there is none (Unix sockets)."""
    host = peer[0] if peer else None
    return host if isinstance(host, str) else None


def family_and_type(localaddr: Any) -> tuple[int, int]:
    """Of the socket that can listen on *localaddr*; the host ``''`` is IPv4's.

    :raises OSError: if the host is not known.
    """
    socket = smtpd_compat.socket
    host, *rest = localaddr
    if host == "":
        return socket.AF_INET, socket.SOCK_STREAM
    kind: Any = {"type": socket.SOCK_STREAM}
    found = socket.getaddrinfo(host, *rest, **kind)
    return found[0][0], found[0][1]
