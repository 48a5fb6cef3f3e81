"""The channel: reading lines, running commands, handing messages over, answering."""

from __future__ import annotations

import errno
import time
from functools import partial

import smtpd_compat

from ._commands import Commands
from ._connection._chat import Chat, stock_methods
from ._connection._state import State
from ._eras import _calls
from ._eras._names import ForwardsToSocket, OldChannelNames
from ._eras._text_hooks import TextLines
from ._hosts import host_name
from ._settings import DATA_SIZE_DEFAULT, setting
from ._text._message import MessageText, message_text, utf8
from ._tracing import trace, tracing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_END_OF_LINE = b"\r\n"

#: The client is gone already; not a fault of ours.
_GONE = frozenset((errno.ENOTCONN, errno.EINVAL, errno.ECONNRESET))


class SMTPChannel(
    Commands,
    OldChannelNames,
    TextLines,
    ForwardsToSocket,
    Chat,
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
        RSET clears it.
    ``num_bytes``
        Octets of the line, or of the message, that have arrived.
    ``command_size_limit``, ``command_size_limits``
        Octets that a command line may have (RFC 5321, 4.5.3.1.4), 512, and the same for
        each command of a session that began with EHLO.
    """

    __module__ = "smtpd_compat"

    COMMAND = 0
    DATA = 1

    # Without values, for what begins in the class is found slowly, see State.
    smtp_state: int
    peer: Any
    received_lines: list[Any]
    received_data: Any
    num_bytes: int
    data_size_limit: int | None
    enable_SMTPUTF8: bool
    _decode_data: bool = False

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
        if not self._smtpd_has_begun():
            self._smtpd_state = State()
        smtpd_compat.asynchat.async_chat.__init__(self, conn, map=map)
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
            self._smtpd_keep_lines_as_text()
            self._decode_data = True
        self._smtpd_state.is_finished = False
        if setting(server, "idle_timeout") is not None:
            self._smtpd_state.last_heard = time.monotonic()
        self._set_rset_state()
        self.seen_greeting = ""
        self.extended_smtp = False
        self.command_size_limits = self.command_size_limits.copy()
        self.command_size_limits.clear()
        self.fqdn = host_name()
        try:
            self.peer = conn.getpeername()
        except OSError as error:
            self.close()
            if error.errno not in _GONE:
                raise
            return
        self._smtpd_send_at_once()
        if tracing():
            trace("Peer:", repr(self.peer))
        self.push(f"220 {self.fqdn} {smtpd_compat.__version__}")

    def _smtpd_adopt_settings(self, settings: dict[str, Any]) -> None:
        """Take from the server what ``__init__`` of a subclass did not."""
        map = settings.get("map", self._map)
        if map is not self._map and self.connected:
            descriptor = self._fileno
            self.del_channel()
            self._fileno, self._map = descriptor, map
            self.add_channel()
        if self.data_size_limit == DATA_SIZE_DEFAULT:
            self.data_size_limit = settings.get("data_size_limit", self.data_size_limit)
        if settings.get("enable_SMTPUTF8"):
            self.enable_SMTPUTF8 = True
        if settings.get("decode_data"):
            self._smtpd_keep_lines_as_text()
            self._decode_data = True

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
        self._smtpd_state.text = None

    def _set_rset_state(self) -> None:
        """Everything but the greeting as in the beginning."""
        self._set_post_data_state()
        self.received_data = ""
        self.received_lines = []

    # Answering

    def push(self, msg: Any) -> None:
        """Send a reply, or one line of it, without its CRLF.

        :param msg: text; or ``bytes``, as in 2.7.  Characters that the session cannot
            carry (all but ASCII, unless MAIL said SMTPUTF8) leave as escapes.
        :raises TypeError: for anything else.
        """
        state = self._smtpd_state
        if isinstance(msg, str) and msg.isascii():
            line = (msg + "\r\n").encode()
        elif isinstance(msg, (bytes, bytearray)):
            _calls.pushed_bytes(self)
            line = bytes(msg) + _END_OF_LINE
        else:
            encoding = "utf-8" if self.require_SMTPUTF8 else "ascii"
            line = (msg + "\r\n").encode(encoding, "backslashreplace")
        state.last_output = line
        if state.corked:
            self.producer_fifo.append(line)
        else:
            smtpd_compat.asynchat.async_chat.push(self, line)

    # Failing and ending

    def _smtpd_answer_failure(self) -> None:
        """After an exception: tell the client, and begin with a clean slate.

        A reply that came from an overridden handle_error is the one that counts.
        """
        if self._smtpd_state.is_finished or not self.connected:
            return
        if self._smtpd_state.is_collecting:
            # In the middle of a line or of a message: what follows is no command.
            self._smtpd_state.is_collecting = False
            if not self._smtpd_state.last_output:
                self.push("421 Error: local error in processing, closing connection")
            self.close_when_done()
            return
        self.received_lines = []
        self._set_post_data_state()
        if not self._smtpd_state.last_output:
            self.push("451 Error: local error in processing")

    def _smtpd_say_timeout(self) -> None:
        self.push("421 Error: timeout exceeded, closing connection")
        self.close_when_done()

    def close(self) -> None:
        """Close the connection."""
        Chat.close(self)
        closed = getattr(
            self.__dict__.get("smtp_server"), "_smtpd_channel_closed", None
        )
        if closed is not None:
            closed()

    # Reading

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
        if self.smtp_state == self.DATA:
            if (
                self._smtpd_state.text is None
                and not self.received_lines
                and self._smtpd_has_stock_hooks()
                and not tracing()
            ):
                self._smtpd_state.text = MessageText()
            if self._smtpd_state.text is not None:
                if limit and self.num_bytes > limit:
                    self._smtpd_state.text = MessageText()
                else:
                    self._smtpd_state.text.feed(data)
                return
        if self._emptystring == "" and isinstance(data, bytes):
            self.received_lines.append(self._smtpd_decode(data))
        else:
            self.received_lines.append(data)

    def _smtpd_whole_piece(self, piece: bytes) -> None:
        """Skip the two hooks where nobody can tell."""
        if (
            self.received_lines
            or self._smtpd_state.text is not None
            or not self._smtpd_has_stock_hooks()
            or tracing()
        ):
            super()._smtpd_whole_piece(piece)
        elif self.smtp_state == self.COMMAND:
            self.num_bytes = len(piece)
            self._smtpd_run_command(piece)
        elif self.smtp_state == self.DATA:
            if self.data_size_limit:
                self.num_bytes = len(piece)
            self._smtpd_end_data(piece)
        else:
            super()._smtpd_whole_piece(piece)

    def found_terminator(self) -> None:
        """Run the command, or hand over the message, that has arrived."""
        if self._smtpd_state.text is not None:
            received: Any = self._smtpd_state.text.finish()
        else:
            received = self._smtpd_joined_lines()
        self.received_lines = []
        if tracing():
            trace("Data:", repr(received))
        if self.smtp_state == self.COMMAND:
            self._smtpd_run_command(received)
        elif self.smtp_state == self.DATA:
            self._smtpd_end_data(received)
        else:
            self.push("451 Internal confusion")
            self.num_bytes = 0

    def _smtpd_has_stock_hooks(self) -> bool:
        """Whether nobody can tell that the hooks of asynchat are not called."""
        stock = self._smtpd_stock
        return (
            getattr(self.found_terminator, "__func__", None) in stock
            and getattr(self.collect_incoming_data, "__func__", None) in stock
        )

    # Messages

    def _smtpd_end_data(self, received: bytes | str) -> None:
        limit = self.data_size_limit
        if limit and self.num_bytes > limit:
            self._set_post_data_state()
            self.push("552 Error: Too much mail data")
            return
        if self._smtpd_state.text is None:
            if isinstance(received, str):
                received = received.encode("utf-8", "surrogateescape")
            received = message_text(received)
        else:
            self._smtpd_state.text = None
        if self._decode_data:
            text = utf8(received)
            if text is None:
                self._set_post_data_state()
                self.push("554 Error: message is not valid UTF-8")
                return
            received = text
        self.received_data = received
        self._smtpd_hand_over()

    def _smtpd_hand_over(self) -> None:
        """Give the message to the server's ``process_message``, for its reply."""
        server = self.smtp_server
        handler = server.process_message
        envelope = (self.peer, self.mailfrom, self.rcpttos)
        arguments: tuple[Any, ...]
        if self._decode_data:
            arguments = (*envelope, self.received_data)
        else:
            options = {
                "mail_options": self.mail_options,
                "rcpt_options": self.rcpt_options,
            }
            arguments = (handler, envelope, self.received_data, options)
            handler = _calls.handle
        if setting(server, "worker_threads") and server._smtpd_hand_to_worker(
            partial(handler, *arguments), self._smtpd_answered
        ):
            self._smtpd_await_answer()
        else:
            self._smtpd_answer_message(handler(*arguments))

    def _smtpd_answer_message(self, status: Any) -> None:
        self.received_lines = []
        self._set_post_data_state()
        self.push(status or "250 OK")

    def _smtpd_answered(self, outcome: Callable[[], Any]) -> None:
        """On the loop's thread: a worker has the reply, or the exception."""
        self._smtpd_state.awaits_answer = False
        self._smtpd_defer(partial(self._smtpd_read_on, outcome))

    def _smtpd_read_on(self, outcome: Callable[[], Any]) -> None:
        self._smtpd_answer_message(outcome())
        self._smtpd_consume()


SMTPChannel._smtpd_stock = stock_methods(SMTPChannel)
