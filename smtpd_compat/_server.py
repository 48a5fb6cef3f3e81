"""Listening: the server socket, and a channel for every client."""

from __future__ import annotations

import errno
import os
import socket
import time
from contextlib import suppress

import smtpd_compat

from ._asyncore import asyncore, is_asyncores
from ._channel import SMTPChannel
from ._clients import Clients, Sweeper, channels_of, forget
from ._connection._session import Session
from ._eras._calls import every_interface, open_channel
from ._eras._names import ForwardsToSocket
from ._hosts import family_and_type
from ._loop import wait_for_others
from ._settings import DATA_SIZE_DEFAULT, setting
from ._tracing import (
    LogsIfPossible,
    log_caught,
    log_if_possible,
    public,
    trace,
    tracing,
)

TYPE_CHECKING = bool()
if TYPE_CHECKING:
    from collections.abc import Callable
    from socket import socket as Socket
    from typing import Any

    from ._connection._session import Message
    from ._connection._workers import WorkerPool

#: Connections taken in one turn of the loop, so that a crowd waits for few turns and
#: those who talk already are not kept waiting by it.
_ACCEPTS_PER_TURN = 64

#: `accept` failed for want of something that the closing of a connection gives back.
_EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))

#: Seconds before `accept` is tried again after that.
_EXHAUSTED_PAUSE = 0.5

#: Seconds of that for which a turn of asyncore's loop waits, at the most.
_EXHAUSTED_WAIT = 0.1


@public
class SMTPServer(LogsIfPossible, ForwardsToSocket, asyncore.dispatcher):
    """Listens on an address and hands every message to `process_message`.

    :param localaddr: ``(host, port)`` to listen on; port 0 lets the system choose one
        (see ``server.socket.getsockname()``), host ``''`` means every IPv4 interface.
    :param remoteaddr: ``(host, port)`` of an upstream server, for subclasses that
        relay; others give None.
    :param data_size_limit: octets that a message may have (RFC 1870); None or 0 for
        no limit.
    :param map: the socket map to register in, asyncore's own if None.
    :param enable_SMTPUTF8: offer SMTPUTF8 (RFC 6531).
    :param decode_data: hand messages over as ``str``, decoded from UTF-8, without
        keyword arguments, and do not offer 8BITMIME (RFC 6152).
    :raises ValueError: if both *enable_SMTPUTF8* and *decode_data* are true.
    :raises OSError: if the address cannot be listened on.

    What was given is kept as ``data_size_limit``, ``enable_SMTPUTF8`` and
    ``_remoteaddr``.  Subclasses set these attributes of the class:

    ``channel_class``
        The class of the conversations, called with this server, the client's socket
        and address and, as far as it accepts them, the last four arguments above.
    ``connection_limit``
        Connections that may be open at once; one more is told 421.  None: any number.
    ``idle_timeout``
        Seconds of silence after which a client is told 421 and the connection is closed
        (RFC 5321, 4.5.3.2.7 asks for at least 300).  None: never.
    ``recipient_limit``
        Recipients that a message may have; one more is told 452 (RFC 5321, 4.5.3.1.8
        asks for at least 100).  None: any number.
    ``worker_threads``
        Threads that may run `process_message` at once; 0 runs it on the loop's thread.
        A subclass that overrides `process_message` or ``_deliver`` runs on the loop's
        thread unless it sets this again.
    ``stop_timeout``
        Seconds for which the command line, told to stop by SIGTERM or Ctrl-C, goes on
        to answer the messages that are being handled.
    ``listen_backlog``
        Connections that may wait to be accepted.
    """

    channel_class: type[SMTPChannel] = SMTPChannel
    connection_limit: int | None = None
    idle_timeout: float | None = None
    recipient_limit: int | None = None
    worker_threads: int = 0
    stop_timeout: float = 10.0
    listen_backlog: int = 1024

    # Any stands for None, of which programs that were written for typeshed's types of
    # smtpd do not think: there is no socket before __init__, and there may be no limit.

    socket: Socket | Any

    # Servers exist that set themselves up, without this class's __init__.

    data_size_limit: int | Any = DATA_SIZE_DEFAULT
    enable_SMTPUTF8: bool = False
    _decode_data: bool = False

    _map: dict[int, Any]
    _smtpd_workers: WorkerPool | None = None
    _smtpd_accept_again = 0.0
    _smtpd_accepted_in_a_row = 0
    _smtpd_known: Clients | None = None
    #: The process that opened the listening socket.
    _smtpd_process = 0

    def __init__(
        self,
        localaddr: Any,
        remoteaddr: Any,
        data_size_limit: int | None = DATA_SIZE_DEFAULT,
        map: dict[int, Any] | None = None,
        enable_SMTPUTF8: bool = False,
        decode_data: bool = False,
    ) -> None:
        self._localaddr = localaddr
        self._remoteaddr = remoteaddr
        self.data_size_limit = data_size_limit
        self.enable_SMTPUTF8 = enable_SMTPUTF8
        self._decode_data = decode_data
        if enable_SMTPUTF8 and decode_data:
            raise ValueError(
                "decode_data and enable_SMTPUTF8 cannot be set to True at the same time"
            )
        from . import _preload  # noqa: F401

        smtpd_compat.asyncore.dispatcher.__init__(self, map=map)
        try:
            if localaddr[0] == "":
                every_interface(type(self))
            self.create_socket(*family_and_type(localaddr))
            self.set_reuse_addr()
            self.bind(localaddr)
            self.listen(self.listen_backlog)
        except BaseException:
            self.close()
            raise
        now = smtpd_compat.time.ctime(smtpd_compat.time.time())
        trace(
            f"{self.__class__.__name__} started at {now}\n"
            f"\tLocal addr: {localaddr}\n"
            f"\tRemote addr:{remoteaddr}"
        )

    # Hooks of the handler's author

    def process_message(
        self,
        peer: Any,
        mailfrom: str,
        rcpttos: list[str],
        data: Any,
        **kwargs: Any,
    ) -> str | None:
        """Handle a message; override this.

        :param peer: the client's address, as ``getpeername`` gives it.
        :param mailfrom: the reverse-path; the null reverse-path is ``'<>'``.
        :param rcpttos: the recipients' mailboxes.
        :param data: the message, its lines ending in LF; ``bytes``, or ``str`` with
            *decode_data*.
        :param kwargs: empty with *decode_data*; otherwise ``mail_options``, the
            parameters of MAIL as a list of upper-case strings (such as
            ``['BODY=8BITMIME', 'SMTPUTF8']``), and ``rcpt_options``, an empty list.
        :returns: None for ``250 OK``, or the reply to send (RFC 5321, 4.2), without
            its last line end.
        :raises NotImplementedError: always, here.
        """
        raise NotImplementedError(f"{type(self).__name__}: override process_message")

    def _smtpd_take_message(
        self,
        call: Callable[[], Any],
        message: Message,
        answered: Callable[[Callable[[], Any]], None],
    ) -> bool:
        """Take a message that is not to be handled while its channel waits.

        :param call: runs `process_message` with what it accepts of *message*.
        :param answered: to be called on the loop's thread, once, with a function that
            returns the status, or raises what `process_message` raised.
        :returns: whether the message was taken; if not, the channel runs *call*.
        """
        if not setting(self, "worker_threads"):
            return False
        from ._connection._workers import WorkerPool, may_use_workers

        if not may_use_workers(self):
            return False
        if self._smtpd_workers is None:
            self._smtpd_workers = WorkerPool(self.worker_threads, self._map)
        self._smtpd_workers.submit(call, answered)
        return True

    # Hooks of the loop

    def handle_read_event(self) -> None:
        """Accept; an error on the way is an error, not the end of this socket."""
        if self._smtpd_accept_again and self._smtpd_is_paused():
            # asyncore's loop would ask again only when something else happens, so it
            # goes on watching this socket, which is ready all the time.  Here it gives
            # way to the others instead of turning without a pause.
            wait_for_others(self, self._map, _EXHAUSTED_WAIT)
            if self._smtpd_is_paused():
                return
        self._smtpd_accept_again = 0.0
        try:
            super().handle_read_event()
        except OSError:
            # With poll, asyncore takes some of them for this socket's having closed.
            self.handle_error()

    def handle_accept(self) -> None:
        """Take connections that wait, each for `handle_accepted`.

        One only, as asyncore does, where somebody could tell the difference, or where
        they have not been coming one after the other.
        """
        at_once = min(self._smtpd_accepted_in_a_row // 4, _ACCEPTS_PER_TURN)
        if at_once > 1 and not self._smtpd_may_accept_more():
            at_once = 1
        for _ in range(at_once or 1):
            pair = self.accept()
            if pair is None:
                self._smtpd_accepted_in_a_row = 0
                return
            self._smtpd_accepted_in_a_row += 1
            self.handle_accepted(*pair)
            if not self.accepting:
                return

    def _smtpd_has_stock_wants(self) -> bool:
        """Whether what it wants is as here and in asyncore, and so changes seldom."""
        own = getattr(self.readable, "__func__", None)
        return own is _ACCEPTING["readable"] and is_asyncores(self.writable)

    def _smtpd_may_accept_more(self) -> bool:
        """Whether nobody can tell that `accept` is called more than once."""
        return (
            self._smtpd_never_blocks()
            and is_asyncores(asyncore.dispatcher.accept)
            and all(
                getattr(getattr(self, name), "__func__", None) is method
                for name, method in _ACCEPTING.items()
            )
        )

    def _smtpd_never_blocks(self) -> bool:
        """Whether `accept` may be called without a sign that somebody waits."""
        return type(self.socket) is socket.socket and self.socket.gettimeout() == 0

    def _smtpd_is_inherited(self) -> bool:
        """Whether this is a child's copy of a server that its parent opened."""
        return self._smtpd_process != os.getpid()

    def handle_accepted(self, conn: Any, addr: Any) -> None:
        """Open a channel for the client at *addr*."""
        if tracing():
            trace(f"Incoming connection from {addr!r}")
        try:
            if _takes_all(self.channel_class):
                self.channel_class(
                    self,
                    conn,
                    addr,
                    self.data_size_limit,
                    self._map,
                    self.enable_SMTPUTF8,
                    self._decode_data,
                )
            else:
                open_channel(self, conn, addr)
        except BaseException:
            forget(self, conn)
            _refuse(conn, b"421 Service not available, try again later\r\n")
            raise

    def accept(self) -> tuple[Any, Any] | None:
        """Accept as asyncore does, but live through a lack of descriptors.

        A client too many is told 421 here, where servers with a ``handle_accept`` of
        their own come by too.
        """
        for _ in range(_ACCEPTS_PER_TURN):
            try:
                pair: tuple[Any, Any] | None = super().accept()
            except OSError as error:
                if error.errno not in _EXHAUSTED or self._smtpd_is_inherited():
                    raise
                self._smtpd_accept_again = time.monotonic() + _EXHAUSTED_PAUSE
                said = f"cannot accept, will try again: {error}"
                log_if_possible(self.log_info, said, "warning")
                return None
            if pair is None:
                return None
            clients = self._smtpd_clients()
            if not clients.is_full_for(self, pair[0]):
                clients.descriptors.add(pair[0].fileno())
                return pair
            _refuse(pair[0], b"421 Too many connections, try again later\r\n")
            if not self._smtpd_never_blocks():
                return None
        return None

    def readable(self) -> bool:
        """Whether to wait for connections; asked in every turn of the loop."""
        if self.idle_timeout is not None:
            self._smtpd_clients().sweep(self)
        return True

    def handle_error(self) -> None:
        """Log the exception, and go on listening; but not in a child's copy.

        That would take connections from the process that serves them.
        """
        if self._smtpd_is_inherited() or not is_asyncores(
            asyncore.dispatcher.handle_error  # a patch, for all dispatchers
        ):
            super().handle_error()
        else:
            log_caught(self, "keeping")

    def add_channel(self, map: dict[int, Any] | None = None) -> None:
        """Join the socket map."""
        self._smtpd_process = os.getpid()
        super().add_channel(map)

    def close(self) -> None:
        """Stop listening.

        The clients that are connected stay so, and messages that threads have in hand
        are still answered.
        """
        super().close()
        if self._smtpd_workers is not None:
            self._smtpd_workers.close()
        if self._smtpd_idle_timeout() is not None and channels_of(self):
            Sweeper(self, self._map)

    def _smtpd_is_paused(self) -> bool:
        """Whether it is too early to try again to accept."""
        return (
            self._smtpd_accept_again > 0.0
            and time.monotonic() < self._smtpd_accept_again
        )

    def _smtpd_clients(self) -> Clients:
        if self._smtpd_known is None:
            self._smtpd_known = Clients()
        return self._smtpd_known

    def _smtpd_channel_closed(self, descriptor: Any) -> None:
        """A channel has closed, and given back its *descriptor*."""
        self._smtpd_accept_again = 0.0
        self._smtpd_clients().has_closed(self, descriptor)

    def _smtpd_idle_timeout(self) -> float | None:
        return setting(self, "idle_timeout")


#: What takes a connection, as this package has it.
_ACCEPTING = {
    name: getattr(SMTPServer, name)
    for name in ("accept", "handle_accept", "handle_accepted", "readable")
}

Session.take_for_threads = staticmethod(SMTPServer._smtpd_take_message)

_CHANNEL_INIT: Any = vars(SMTPChannel)["__init__"]


def _takes_all(cls: Any) -> bool:
    """Whether making a *cls* is calling the constructor of this package's channel."""
    return (
        cls.__init__ is _CHANNEL_INIT
        and cls.__new__ is object.__new__
        and type(cls) is type
    )


def _refuse(conn: Any, reply: bytes) -> None:
    with suppress(OSError):
        conn.send(reply)
    conn.close()
