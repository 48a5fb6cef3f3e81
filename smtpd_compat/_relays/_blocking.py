"""The client on a socket of its own, which its thread waits for."""

from __future__ import annotations

import select
import socket
import time

import smtpd_compat

from .._hosts import host_name
from ._client import Conversation

TYPE_CHECKING = bool()
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ._outgoing import Message
    from ._replies import Reply

#: Octets of replies that are received at once.
RECEIVE = 1 << 16


def endpoint(remoteaddr: Any) -> tuple[str, int]:
    """Host and port of an upstream server; ``host:port`` may stand for the host.

    :raises OSError: if what stands for the port is no number, as smtplib does.
    """
    host, port = remoteaddr[:2]
    if not port and host.count(":") == 1:
        host, _, port = host.partition(":")
        try:
            port = int(port)
        except ValueError:
            raise OSError("nonnumeric port") from None
    return host, port or 25


def hello_name(sock: socket.socket) -> str:
    """What to call ourselves in EHLO; where there is no name, the address."""
    name = host_name()
    if "." in name and name.isascii() and name.isprintable() and " " not in name:
        return name
    host = str(sock.getsockname()[0]).partition("%")[0]
    return f"[IPv6:{host}]" if ":" in host else f"[{host}]"


def is_upstream_of_itself(listening: Any, remoteaddr: Any) -> bool:
    """Whether a connection to *remoteaddr* ends at the socket that is *listening*."""
    try:
        host, port = listening.getsockname()[:2]
        remote_host, remote_port = endpoint(remoteaddr)
        if str(remote_port) != str(port):
            return False
        found = smtpd_compat.socket.getaddrinfo(
            remote_host, port, type=socket.SOCK_STREAM
        )
    except (OSError, ValueError, TypeError, AttributeError):
        return False  # a stand-in, or an address that nobody has: not ours to judge
    return any(_is_same(host, str(address[4][0])) for address in found)


def _is_same(listening: str, remote: str) -> bool:
    remote = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(remote, remote)
    if remote.startswith("::ffff:"):  # IPv4, as IPv6 has it
        remote = remote[len("::ffff:") :]
    if listening not in ("0.0.0.0", "::"):
        return listening == remote
    try:  # every interface: the address is ours if it can be bound
        family = socket.AF_INET6 if ":" in remote else socket.AF_INET
        with socket.socket(family) as probe:
            probe.bind((remote, 0))
    except OSError:
        return False
    return listening == "::" or ":" not in remote


class Session:
    """A connection to an SMTP or LMTP server.

    :param timeout: seconds that the server may take for a reply, or for reading some of
        what is sent; None for any time.
    :raises OSError: if the server is not there.
    """

    def __init__(
        self, address: tuple[str, int], timeout: float | None, lmtp: bool = False
    ) -> None:
        self._timeout = timeout
        self._sock = smtpd_compat.socket.create_connection(address, timeout)
        self._sock.setblocking(False)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.talk = Conversation(hello_name(self._sock), lmtp)

    def run(self, until: Callable[[], bool]) -> None:
        """Talk until *until()*, or until nothing more can be said."""
        talk = self.talk
        end = self._deadline()
        has_replied = False
        while not until() and not talk.is_over:
            try:
                if self._send() or has_replied:
                    end = self._deadline()
                has_replied = False
                if self._wait(end):
                    has_replied = talk.receive(self._sock.recv(RECEIVE))
                else:
                    talk.lost()
            except BlockingIOError:  # there is room to send
                pass
            except OSError:
                receive_last_words(talk, self._sock)

    def close(self) -> None:
        """Say QUIT, and do not wait for the answer."""
        self.talk.quit()
        try:
            self._send()
        except OSError:
            pass
        self._sock.close()

    def _deadline(self) -> float | None:
        return None if self._timeout is None else time.monotonic() + self._timeout

    def _send(self) -> int:
        unsent = self.talk.unsent
        try:
            sent = self._sock.send(unsent) if unsent else 0
        except BlockingIOError:
            return 0
        self.talk.sent(sent)
        return sent

    def _wait(self, end: float | None) -> bool:
        """Wait until something can be done; False if that takes too long."""
        sock, sends = self._sock, self.talk.unsent
        left = None if end is None else max(0.0, end - time.monotonic())
        if not hasattr(select, "poll"):
            return any(select.select([sock], [sock] if sends else [], [], left))
        poll = select.poll()
        poll.register(sock, select.POLLIN | (select.POLLOUT if sends else 0))
        return bool(poll.poll(None if left is None else left * 1000))


def receive_last_words(talk: Conversation, sock: socket.socket) -> None:
    """The connection has failed, but what was said before may still be there."""
    try:
        talk.receive(sock.recv(RECEIVE))
    except OSError:
        pass
    talk.lost()


def deliver(
    address: tuple[str, int], message: Message, timeout: float | None
) -> tuple[dict[str, Reply], str]:
    """Deliver a message by a session of its own.

    :returns: the reply for each recipient, and `Conversation.failure`.
    :raises OSError: if the server is not there.
    """
    session = Session(address, timeout)
    talk = session.talk
    try:
        talk.deliver(message)
        session.run(lambda: talk.outcome is not None)
        return talk.outcome or {}, talk.failure
    finally:
        session.close()
