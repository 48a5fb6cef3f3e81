"""The session: lines become commands, messages are handed over, failures answered."""

from __future__ import annotations

from functools import partial

from .._commands import METHODS, escape_line_ends
from .._eras import _calls, _greetings, _text_hooks
from .._settings import DATA_SIZE_DEFAULT, setting
from .._text._message import MessageText, decode_or_none, message_text
from .._tracing import tracing
from ._stream import FULL, GIVEN_UP, STOCK, WORKER, Stream

TYPE_CHECKING = bool()
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .._channel import SMTPChannel


class Message:
    """A message that has arrived whole, as it is handed over."""

    __slots__ = ("channel", "data", "envelope", "options")

    def __init__(
        self,
        channel: SMTPChannel,
        envelope: tuple[Any, ...],
        data: Any,
        options: dict[str, Any],
    ) -> None:
        self.channel = channel
        #: Peer, reverse-path and recipients.
        self.envelope = envelope
        #: Its lines ending in LF: `bytes`, or `str` with *decode_data*.
        self.data = data
        #: What ``process_message`` gets by name; not with *decode_data*.
        self.options = options


class Session(Stream):
    """What a channel keeps, and does, for its SMTP session."""

    __slots__ = ("accepted", "decoder", "hook", "text", "text_lists", "watches")

    #: What takes a message only for a worker's thread.
    take_for_threads: Any = None

    def __init__(self) -> None:
        super().__init__()
        #: The message, while it arrives and nobody can tell how it is kept.
        self.text: MessageText | None = None
        #: Of the octets of a line, for hooks that take text.
        self.decoder: Any = None
        #: The hook that is being run, if it is a subclass's own.
        self.hook: Any = None
        #: Whether there may be greetings of a subclass's own.
        self.watches = True
        #: One that has been accepted, and is yet to be noted: its verb and argument.
        self.accepted: tuple[str, str] | None = None
        #: The lists whose bytes became text.
        self.text_lists: list[list[Any]] = []

    # Pieces of input

    def take_piece(self, channel: Any, piece: bytes, ends: bool) -> None:
        """Call the two hooks of asynchat; or do what they do, where nobody can tell."""
        # As in has_stock_hooks, and written out, since it is asked for every command.
        try:
            are_stock = (
                channel.found_terminator.__func__ in STOCK
                and channel.collect_incoming_data.__func__ in STOCK
            )
        except AttributeError:  # assigned, and no method
            are_stock = False
        if (
            not ends
            or channel.received_lines
            or self.text is not None
            or not are_stock
            or tracing()
        ):
            _text_hooks.call(self, channel, piece, ends, are_stock)
        elif channel.smtp_state == channel.COMMAND:
            self.run_command(channel, piece, len(piece))
        elif channel.smtp_state == channel.DATA:
            if channel.data_size_limit:
                channel.num_bytes = len(piece)
            self.end_data(channel, piece)
        else:
            _text_hooks.call(self, channel, piece, ends, are_stock)

    def has_stock_hooks(self, channel: SMTPChannel) -> bool:
        """Whether nobody can tell that the hooks of asynchat are not called."""
        return self.is_stock(channel, "found_terminator") and self.is_stock(
            channel, "collect_incoming_data"
        )

    def keep_data(self, channel: SMTPChannel, piece: bytes, is_too_much: bool) -> bool:
        """Keep a piece of the message as text; False if somebody can tell."""
        if self.text is None:
            if channel.received_lines or not self.has_stock_hooks(channel) or tracing():
                return False
            # A client that sends one large message after the other does not have two
            # of them in memory.
            channel.received_data = ""
            self.text = MessageText()
        if is_too_much:
            self.text = MessageText()
        else:
            self.text.feed(piece)
        return True

    # Commands

    def run_command(
        self, channel: SMTPChannel, received: bytes | str, size: int
    ) -> None:
        """Call the method ``smtp_VERB`` for a line of *size* octets."""
        channel.num_bytes = 0
        line = decode_or_none(received)
        if not line:
            channel.push("500 Error: bad syntax")
            return
        verb, space, rest = line.partition(" ")
        verb = verb.upper()
        method = getattr(channel, METHODS.get(verb) or "smtp_" + verb, None)
        limit: int | None = channel.command_size_limit
        # Where the greatest limit is 0, octets are not counted; one may be added below.
        is_counted = limit or len(channel.command_size_limits)
        if channel.extended_smtp:
            limits = channel.command_size_limits
            # A verb of the client's own is not stored, or many would fill the memory.
            limit = limits[verb] if method else limits.copy()[verb]
        if (
            limit is not None
            and size > limit
            and is_counted
            and channel.max_command_size_limit
        ):
            channel.push("500 Error: line too long")
        elif not method:
            channel.push(
                f'500 Error: command "{escape_line_ends(verb)}" not recognized'
            )
        elif getattr(method, "__func__", None) in STOCK:
            method(rest.strip() if space else None)
        else:
            argument = rest.strip() if space else None
            self.run_uncorked(
                channel, partial(self._run_foreign, channel, method, verb, argument)
            )

    def _run_foreign(
        self,
        channel: SMTPChannel,
        method: Callable[[Any], Any],
        verb: str,
        arg: str | None,
    ) -> None:
        """Run a command that is not of this package."""
        before = self.last_pushed
        method(arg)
        said = self.last_pushed
        if verb in _greetings.VERBS and said is not before and said.startswith(b"2"):
            self.accepted = verb, arg or verb
        if self.accepted is not None:
            self.note_greeting(channel)

    # Greetings of a subclass's own, however they come to be called

    def look_for_greeting(self, channel: Any) -> None:
        """See whether one of them says what is being pushed."""
        if self.last_pushed.startswith(b"220 "):
            return  # the banner: a subclass's __init__ may not be over
        if channel.seen_greeting and channel.extended_smtp:
            return
        greetings = _greetings.own_greetings(channel, STOCK)
        self.watches = bool(greetings)
        if not greetings:
            return
        found = _greetings.answering(greetings)
        if found is not None:
            self.accepted = found if self.last_pushed.startswith(b"2") else None

    def note_greeting(self, channel: Any) -> None:
        """Note one that was accepted, so that MAIL is."""
        if self.accepted is not None:
            verb, name = self.accepted
            self.accepted = None
            _greetings.note(channel, verb, name)

    # Messages

    def end_data(self, channel: SMTPChannel, received: bytes | str) -> None:
        """Hand the message over that is complete, if it may be taken."""
        is_translated = self.text is not None
        self.text = None
        limit = channel.data_size_limit
        if limit and channel.num_bytes > limit:
            channel.received_data = ""
            channel._set_post_data_state()
            channel.push("552 Error: Too much mail data")
            return
        if not is_translated:
            if isinstance(received, str):
                received = received.encode("utf-8", "surrogateescape")
            received = message_text(received)
        if channel._decode_data:
            text = decode_or_none(received)
            if text is None:
                channel.received_data = ""
                channel._set_post_data_state()
                channel.push("554 Error: message is not valid UTF-8")
                return
            received = text
        channel.received_data = received
        self._hand_over(channel)

    def _hand_over(self, channel: SMTPChannel) -> None:
        """Give the message to the server's ``process_message``, for its reply."""
        server = channel.smtp_server
        handler = server.process_message
        envelope = (channel.peer, channel.mailfrom, channel.rcpttos)
        data = channel.received_data
        options = {
            "mail_options": channel.mail_options,
            "rcpt_options": channel.rcpt_options,
        }
        # A test's stand-in for a server may have every name, but its class has not.
        take = getattr(type(server), "_smtpd_take_message", None)
        if take is not None and (
            take is not self.take_for_threads or setting(server, "worker_threads")
        ):
            call = partial(_call, channel, handler, envelope, data, options)
            message = Message(channel, envelope, data, options)
            if self._is_taken(channel, server, call, message):
                return
        self._answer_message(channel, _call(channel, handler, envelope, data, options))

    def _is_taken(
        self,
        channel: SMTPChannel,
        server: Any,
        call: Callable[[], Any],
        message: Message,
    ) -> bool:
        """Whether somebody else has the message, and will bring the answer."""
        self.hold_for(channel, WORKER)  # for the answer may be there at once
        is_taken: bool = False
        try:
            is_taken = server._smtpd_take_message(
                call, message, partial(self._answered, channel)
            )
        finally:
            if is_taken:
                self.last_pushed = b""
            else:
                self.hold = None
        return is_taken

    def _answer_message(self, channel: SMTPChannel, status: Any) -> None:
        channel.received_lines = []
        channel._set_post_data_state()
        # An overridden push may take more than text.
        if status and not isinstance(status, str) and self.is_stock(channel, "push"):
            status = _calls.reply_of(channel.smtp_server.process_message, status)
        channel.push(status or "250 OK")

    def _answered(self, channel: SMTPChannel, outcome: Callable[[], Any]) -> None:
        """On the loop's thread: who had the message has the reply, or the exception."""
        if channel.connected:  # else what was raised would be kept
            self.hold_for(channel, partial(self._read_on, channel, outcome))

    def _read_on(self, channel: SMTPChannel, outcome: Callable[[], Any]) -> None:
        status = outcome()
        if self.last_pushed:
            # A hook, or an overridden handle_error, has replied meanwhile.
            answered, self.last_pushed = self.last_pushed, b""
            self.answer_failure(channel, answered)
            return
        self._answer_message(channel, status)
        self.consume(channel)

    # Failing and ending

    def answer_failure(self, channel: SMTPChannel, answered: bytes) -> None:
        """After an exception: tell the client, and begin with a clean slate.

        A reply that came from an overridden handle_error is the one that counts.
        """
        if self.is_finished:
            return
        if self.is_collecting or answered:
            # In the middle of a line or of a message, what follows is no command; and
            # a command that has its reply must not get another one.
            if not self.last_pushed:
                channel.push("421 Error: local error in processing, closing connection")
            channel.close_when_done()
            return
        channel.received_lines = []
        channel._set_post_data_state()
        if not self.last_pushed:
            channel.push("451 Error: local error in processing")

    def close_if_idle(self, channel: SMTPChannel, now: float, timeout: float) -> None:
        """Take leave if nothing has been received for *timeout* seconds.

        :param now: by `time.monotonic`; the time before the first call does not count.
        """
        if self.last_heard is None or self.hold is WORKER:
            self.last_heard = now
        elif now - self.last_heard < timeout:
            pass
        elif self.is_finished or self.hold not in (None, FULL):
            self.hold_for(channel, GIVEN_UP)
        else:
            self.last_heard = now
            self.hold_for(channel, partial(self.say_timeout, channel))

    def take_leave(self, channel: SMTPChannel) -> None:
        """Close the connection, since the server stops; unless a message is in hand."""
        if self.hold is None and not self.is_finished:
            self.hold_for(channel, partial(self.say_stopping, channel))

    def say_timeout(self, channel: SMTPChannel) -> None:
        """Take leave of a client that has been silent for too long."""
        channel.push("421 Error: timeout exceeded, closing connection")
        channel.close_when_done()

    def say_stopping(self, channel: SMTPChannel) -> None:
        """Take leave of a client, since the server stops."""
        channel.push("421 Error: shutting down, closing connection")
        channel.close_when_done()


def _call(
    channel: SMTPChannel,
    handler: Callable[..., Any],
    envelope: tuple[Any, ...],
    data: Any,
    options: dict[str, Any],
) -> Any:
    """Call *handler*, a ``process_message``."""
    if channel._decode_data:
        return handler(*envelope, data)
    return _calls.call_process_message(handler, envelope, data, options)


# In subclasses that never call __init__


def session_of(channel: SMTPChannel) -> Session:
    """Its session; one that begins now if it has none."""
    try:
        # This asks no __getattr__.
        session: Session = object.__getattribute__(channel, "_smtpd")
    except AttributeError:
        session = _begin(channel)
    return session


def _begin(channel: SMTPChannel) -> Session:
    """Set what ``__init__`` sets; what a subclass has made its own stays."""
    session = channel._smtpd = Session()
    start: dict[str, Any] = {
        "smtp_state": channel.COMMAND,
        "received_lines": [],
        "received_data": "",
        "num_bytes": 0,
        "data_size_limit": DATA_SIZE_DEFAULT,
        "enable_SMTPUTF8": False,
        "seen_greeting": "",
        "extended_smtp": False,
        "require_SMTPUTF8": False,
        "mailfrom": None,
        "rcpttos": [],
        "mail_options": [],
        "rcpt_options": [],
    }
    for name, value in start.items():
        if not hasattr(type(channel), name) and name not in vars(channel):
            setattr(channel, name, value)
    return session
