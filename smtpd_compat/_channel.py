"""The channel: what programs call, override and assign, over a `Session`."""

from __future__ import annotations

import errno
import socket
import time

import smtpd_compat

from ._asyncore import asynchat, asyncore, is_asyncores, stock_methods
from ._commands import Commands
from ._connection._session import Session, session_of
from ._connection._stream import STOCK, UNASKED
from ._eras import _calls
from ._eras._names import ForwardsToSocket, OldChannelNames
from ._eras._text_hooks import decode, joined_lines, keep_lines_as_text
from ._hosts import host_name
from ._settings import DATA_SIZE_DEFAULT, setting
from ._tracing import LogsIfPossible, log_caught, public, trace, tracing

TYPE_CHECKING = bool()
if TYPE_CHECKING:
    from collections import defaultdict, deque
    from socket import socket as Socket
    from typing import Any

    from ._server import SMTPServer

_END_OF_LINE = b"\r\n"

#: What becomes of characters that the session cannot carry.
_ESCAPES = "backslashreplace"

#: The client is gone already; not a fault of ours.
_GONE = frozenset((errno.ENOTCONN, errno.EINVAL, errno.ECONNRESET))


@public
class SMTPChannel(
    Commands, OldChannelNames, LogsIfPossible, ForwardsToSocket, asynchat.async_chat
):
    """The conversation with one client.

    :param server: the `SMTPServer` that accepted the client, as ``smtp_server``.
    :param conn: the client's socket.
    :param addr: the client's address, as ``socket.accept`` gave it.
    :param data_size_limit: octets that a message may have (RFC 1870); None or 0 for
        no limit.
    :param map: the socket map to register in, asyncore's own if None.
    :param enable_SMTPUTF8: offer SMTPUTF8 (RFC 6531).
    :param decode_data: hand messages over as ``str``, and do not offer 8BITMIME.
    :raises ValueError: if both *enable_SMTPUTF8* and *decode_data* are true.

    A line ``VERB argument`` calls ``smtp_VERB(argument)``, so that a subclass adds
    commands by adding methods.

    Attributes, besides those that are named like their argument:

    ``smtp_server``
        The server that spawned this channel.
    ``peer``
        The client's address, as ``conn.getpeername()`` gives it.
    ``fqdn``
        The name of this host, as ``socket.getfqdn()`` gives it (`str`).
    ``smtp_state``
        `COMMAND`, or `DATA` between the DATA command and the end of the message.
    ``seen_greeting``
        What HELO or EHLO was given (`str`), ``''`` before it.
    ``extended_smtp``
        Whether the greeting was EHLO (RFC 5321, 4.1.1.1).
    ``mailfrom``
        The reverse-path that MAIL gave (`str`), None outside of a transaction.
    ``rcpttos``
        The mailboxes that RCPT gave (list of `str`).
    ``mail_options``
        The parameters of MAIL, in upper case (list of `str`).
    ``rcpt_options``
        An empty list: RCPT has no parameters here.
    ``require_SMTPUTF8``
        Whether MAIL said SMTPUTF8 (RFC 6531, 3.4).
    ``received_lines``
        The pieces of the line that is arriving: `bytes`, or `str` with *decode_data*.
    ``received_data``
        The last message, its lines ending in LF: `bytes`, or `str` with *decode_data*.
        RSET clears it, and so does the next one while it arrives.
    ``num_bytes``
        Octets of the line, or of the message, that have arrived.
    ``command_size_limit``, ``command_size_limits``
        Octets that a command line may have (RFC 5321, 4.5.3.1.4), 512, and the same for
        each command of a session that began with EHLO.
    """

    COMMAND: int = 0
    DATA: int = 1

    # Whatever the original does not have is called _smtpd..., here and in the other
    # classes that programs subclass: their subclasses have names of their own.

    #: All that is not a name of the original's.
    _smtpd: Session

    # Without values, for on Python 3.13 what begins in the class is found slowly.
    # And with Any where typeshed does not say that it may be None, or another class:
    # programs that pass with typeshed's types of smtpd are to pass with these.
    smtp_server: SMTPServer | Any
    conn: Socket | Any
    addr: Any
    peer: Any
    fqdn: str
    smtp_state: int
    mailfrom: str | Any
    rcpttos: list[str]
    mail_options: list[str]
    rcpt_options: list[str]
    received_lines: list[Any]
    received_data: Any
    num_bytes: int
    data_size_limit: int | Any
    enable_SMTPUTF8: bool
    command_size_limits: defaultdict[str, int]
    _decode_data: bool = False
    _emptystring: bytes | str = b""
    _linesep: bytes | str = b"\r\n"
    _dotsep: int | str = ord(b".")
    _newline: bytes | str = b"\n"

    # asynchat's own
    producer_fifo: deque[Any]
    socket: Socket | Any
    terminator: Any
    _fileno: Any
    _map: dict[int, Any]

    #: What has been seen of a class's hooks, see `_text_hooks`.
    _smtpd_hooks_take_text = False
    _smtpd_hooks_took_bytes = False
    _smtpd_old_name_is_text: bool | None = None

    def __init__(
        self,
        server: Any,
        conn: Any,
        addr: Any,
        data_size_limit: int | None = DATA_SIZE_DEFAULT,
        map: dict[int, Any] | None = None,
        enable_SMTPUTF8: bool = False,
        decode_data: bool = False,
    ) -> None:
        if not self.connected:
            self._smtpd = Session()
        smtpd_compat.asynchat.async_chat.__init__(self, conn, map=map)
        # asyncore has just asked a socket of the system's for its peer.
        peer = self.addr if type(conn) is socket.socket else None
        self.smtp_server = server
        self.conn = conn
        self.addr = addr
        self.data_size_limit = data_size_limit
        self.enable_SMTPUTF8 = enable_SMTPUTF8
        if enable_SMTPUTF8 and decode_data:
            raise ValueError(
                "decode_data and enable_SMTPUTF8 cannot be set to True at the same time"
            )
        if decode_data:
            keep_lines_as_text(self)
            self._decode_data = True
        self._smtpd.is_finished = False
        if setting(server, "idle_timeout") is not None:
            self._smtpd.last_heard = time.monotonic()
        self._set_rset_state()
        self.seen_greeting = ""
        self.extended_smtp = False
        self.command_size_limits = self.command_size_limits.copy()
        self.command_size_limits.clear()
        self.fqdn = host_name()
        try:
            self.peer = peer or conn.getpeername()
        except OSError as error:
            self.close()
            if error.errno not in _GONE:
                raise
            return
        _send_at_once(self.socket)
        if tracing():
            trace("Peer:", repr(self.peer))
        self.push(f"220 {self.fqdn} {smtpd_compat.__version__}")

    # The transaction

    def _set_post_data_state(self) -> None:
        """Back to commands and without a transaction; the last message stays."""
        self.smtp_state = self.COMMAND
        self.mailfrom = None
        self.rcpttos = []
        self.mail_options = []
        self.rcpt_options = []
        self.require_SMTPUTF8 = False
        self.num_bytes = 0
        self.set_terminator(_END_OF_LINE)
        self._smtpd.text = None

    def _set_rset_state(self) -> None:
        """Everything but the greeting as in the beginning."""
        self._set_post_data_state()
        self.received_data = ""
        self.received_lines = []

    # The hooks of asynchat

    def push(self, msg: Any) -> None:
        """Send a reply, or one line of it, without its CRLF.

        :param msg: text; or ``bytes``, as in 2.7.  Characters that the session cannot
            carry (all but ASCII, unless MAIL said SMTPUTF8) leave as escapes.
        :raises TypeError: for anything else.
        """
        if type(msg) is str and msg.isascii():
            line = (msg + "\r\n").encode()
        elif isinstance(msg, (bytes, bytearray)):
            _calls.pushed_bytes(self)
            line = bytes(msg) + _END_OF_LINE
        else:
            encoding = "utf-8" if self.require_SMTPUTF8 else "ascii"
            line = (msg + "\r\n").encode(encoding, _ESCAPES)
        session = self._smtpd
        session.last_pushed = line
        if session.corked:
            self.producer_fifo.append(line)
        else:
            smtpd_compat.asynchat.async_chat.push(self, line)

    def collect_incoming_data(self, data: bytes) -> None:
        """Keep a piece of a line or of the message, as long as it is within limits."""
        limit: int | None = None
        if self.smtp_state == self.COMMAND:
            limit = self.max_command_size_limit
        elif self.smtp_state == self.DATA:
            limit = self.data_size_limit
        if limit:
            if self.num_bytes > limit:
                return
            self.num_bytes += len(data)
        is_too_much = limit is not None and 0 < limit < self.num_bytes
        if self.smtp_state == self.DATA and self._smtpd.keep_data(
            self, data, is_too_much
        ):
            return
        if self._emptystring == "" and isinstance(data, bytes):
            self.received_lines.append(decode(self._smtpd, data))
        else:
            self.received_lines.append(data)

    def found_terminator(self) -> None:
        """Run the command, or hand over the message, that has arrived."""
        session = self._smtpd
        session.hook = None  # what is called from here on is none
        received: Any
        if session.text is not None:
            received = session.text.finish()
        else:
            received = joined_lines(session, self)
        self.received_lines = []
        if tracing():
            trace("Data:", repr(received))
        if self.smtp_state == self.COMMAND:
            session.run_command(self, received, self.num_bytes)
        elif self.smtp_state == self.DATA:
            session.end_data(self, received)
        else:
            self.push("451 Internal confusion")
            self.num_bytes = 0

    def set_terminator(self, term: Any) -> None:
        """Set what ends the next piece of input, as `asynchat.async_chat` takes it."""
        if isinstance(term, str):  # as in 2.7
            term = term.encode("ascii")
        if type(term) is bytes:
            self.terminator = term
        else:
            asynchat.async_chat.set_terminator(self, term)
        session_of(self).at_start_of_data = self.terminator == b"\r\n.\r\n"

    @property
    def ac_in_buffer(self) -> bytes:
        """What has been received and not yet looked at."""
        return self._smtpd.unread[self._smtpd.position :]

    @ac_in_buffer.setter
    def ac_in_buffer(self, unread: bytes) -> None:
        # This is the first that asynchat's __init__ does.
        session = session_of(self)
        session.unread = unread
        session.position = 0

    def initiate_send(self) -> None:
        """Send what waits, unless the turn is still gathering."""
        session = self._smtpd
        session.initiate_send(self)
        if session.watches and session.last_pushed:
            session.look_for_greeting(self)

    def send(self, data: Any) -> int:
        """Send octets as they are; or text, as in 2.7.

        :returns: how many of them were taken.
        """
        if type(data) is not bytes and isinstance(data, str):
            data = data.encode("utf-8" if self.require_SMTPUTF8 else "ascii", _ESCAPES)
            session = self._smtpd
            session.last_pushed = data
            if session.watches:
                session.look_for_greeting(self)
            _calls.sent_text(self)
        else:
            self._smtpd.last_pushed = data
        return asynchat.async_chat.send(self, data)

    def close_when_done(self) -> None:
        """Close once everything is sent; what the client still says is not heard."""
        self._smtpd.is_finished = True
        asynchat.async_chat.close_when_done(self)
        self._smtpd.changed(self)

    # The hooks of asyncore

    def readable(self) -> bool:
        """Whether to read from the client; asked in every turn of the loop."""
        return self._smtpd.hold is None or self._smtpd.is_readable(self)

    def writable(self) -> bool:
        """Whether there is something to send, or to do."""
        if self._smtpd.hold is None:
            return True if self.producer_fifo else not self.connected
        return self._smtpd.is_writable(self)

    def handle_read_event(self) -> None:
        """Read what there is, and answer it."""
        session = self._smtpd
        if session.last_heard is not None:
            session.last_heard = time.monotonic()
        if session.hold is None:
            session.last_pushed = UNASKED
        session.turn(self, self.handle_read)

    def handle_read(self) -> None:
        """Receive what there is, and look at it."""
        self._smtpd.receive(self)

    def handle_write_event(self) -> None:
        """Do what was held, or send what waits."""
        work = self._smtpd.take_held()
        if work is None and self._smtpd.corked:  # a handler runs a loop of its own
            self._smtpd.send_gathered(self)
        elif work is None:
            super().handle_write_event()
        else:
            self._smtpd.changed(self)  # by whomever this is called
            self._smtpd.turn(self, work)

    def handle_expt(self) -> None:
        """Drop an urgent octet (MSG_OOB), which would be reported for ever."""
        try:
            self.socket.recv(1, smtpd_compat.socket.MSG_OOB)
        except OSError:
            pass

    def handle_error(self) -> None:
        """Log the exception, and close the connection."""
        if is_asyncores(asyncore.dispatcher.handle_error):
            log_caught(self, "closing")
            self._smtpd.see_closed(self)
        else:  # a patch, for all dispatchers
            super().handle_error()

    def del_channel(self, map: dict[int, Any] | None = None) -> None:
        """Leave the socket map."""
        poller = self._smtpd.poller
        if poller is not None:
            poller.leaves(self._fileno)
        asynchat.async_chat.del_channel(self, map)

    def close(self) -> None:
        """Close the connection."""
        descriptor = self._fileno
        self._smtpd.close(self)
        asynchat.async_chat.close(self)
        server: Any = self.__dict__.get("smtp_server")
        if hasattr(type(server), "_smtpd_channel_closed"):
            server._smtpd_channel_closed(descriptor)


def _send_at_once(sock: Any) -> None:
    """Have short segments not wait for an acknowledgement (Nagle's algorithm)."""
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except (OSError, AttributeError):  # not TCP, or a test's own socket
        pass


STOCK.update(stock_methods(SMTPChannel))
