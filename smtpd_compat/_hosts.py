"""Hosts: our own name, a peer's, and where to listen."""

from __future__ import annotations

import select
import socket

import smtpd_compat

TYPE_CHECKING = bool()
if TYPE_CHECKING:
    from typing import Any

#: What ``socket.gethostname()`` said, and what ``socket.getfqdn()`` said then.
_known: tuple[str | None, str] = (None, "")


def host_name() -> str:
    """``socket.getfqdn()``, which may ask a name server, so only once for each name.

    One that somebody has put in its place is called every time.
    """
    global _known
    getfqdn = smtpd_compat.socket.getfqdn
    if getattr(getfqdn, "__globals__", None) is not vars(socket):
        return getfqdn()
    own_name = socket.gethostname()
    known = _known  # once, since other threads may be here as well
    if known[0] != own_name:
        known = _known = own_name, getfqdn()
    return known[1]


def peer_host(peer: Any) -> str | None:
    """The host in a socket's peer address; None where there is none (Unix sockets)."""
    host = peer[0] if peer else None
    return host if isinstance(host, str) else None


def has_ended(sock: Any) -> bool:
    """Whether the peer has closed its side of a connection that nobody reads from."""
    try:
        if hasattr(select, "POLLRDHUP"):
            poll = select.poll()
            poll.register(sock, select.POLLRDHUP)
            return bool(poll.poll(0))
        # Where something else is still unread, this cannot be seen.
        return bool(sock.recv(1, socket.MSG_PEEK) == b"")
    except (OSError, ValueError, TypeError, AttributeError):
        return False  # nothing has come; or closed, or not a socket of the system's


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
