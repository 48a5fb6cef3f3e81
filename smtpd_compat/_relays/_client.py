"""The client's side of SMTP and LMTP, without input and output."""

# Theory.  A `Conversation` is told what the server said and which message to deliver.
# It tells what to send, and in the end the reply that decides about each recipient.
# Sockets, time and threads are its drivers' business (`_upstream`, `_blocking`).
#
# What is still to be sent is a queue of commands, each with the method that takes its
# reply; what has been sent is a queue of such methods.  Without PIPELINING (RFC 2920)
# one reply may be outstanding, with it 100: that is all the difference.
#
# The message itself is prepared while it is sent, piece by piece, so that a large one
# neither fills the memory nor keeps other clients waiting.
#
# A driver may try a message once more, on another connection, as long as the server has
# accepted nothing of it (`Conversation.progress`).

from __future__ import annotations

from collections import deque

from ._outgoing import PIECE, path
from ._replies import BAD_ADDRESS, NO_REPLY, NO_SMTPUTF8, ReplyReader, is_accepting

TYPE_CHECKING = bool()
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ._outgoing import Message
    from ._replies import Reply

    _Taker = Callable[[int, bytes], None]

#: Replies that may be outstanding: as many as TCP can buffer for us.
_WINDOW = 100

_CLOSED = 221
_CLOSING = 421


class Conversation:
    """The client's side of a session with an SMTP or LMTP server.

    :param name: what we call ourselves in EHLO.
    :param lmtp: speak LMTP (RFC 2033).

    Drivers look at these after each call:

    ``unsent``
        What to send next, ``b""`` for nothing; `sent` takes it off.
    ``outcome``
        None while a message is in hand; then the reply for each of its recipients,
        ``(-1, 'ignore')`` where there was none.
    ``failure``
        The name of the exception that ``smtplib`` would have raised; ``''`` for none.
    ``fate``
        The reply for recipients that have none of their own, once there is an outcome.
    ``progress``
        Whether the server has accepted anything of the message.
    ``is_ready``
        Whether the server has been greeted, so that a message can be delivered at once.
    ``is_over``
        Whether the connection is of no more use.
    """

    def __init__(self, name: str, lmtp: bool = False) -> None:
        self._name = name
        self._lmtp = lmtp
        self._reader = ReplyReader()
        self.unsent = b""
        self._body: Iterator[bytes] | None = None
        self._awaited: deque[_Taker] = deque([self._greeted])
        #: What is to be said when it may be, each with what takes the reply.
        self._commands: deque[tuple[bytes, _Taker]] = deque()
        self._extensions: set[bytes] = set()
        self._window = 1
        self._needs_reset = False
        self.is_ready = False
        self.is_over = False
        self._forget()

    def _forget(self) -> None:
        self._message: Message | None = None
        #: Recipients whose RCPT has no reply yet; those that were accepted; the replies
        #: about the others.
        self._pending: deque[str] = deque()
        self._accepted: list[str] = []
        self._known: dict[str, Reply] = {}
        self._sender_refusal: Reply | None = None
        #: The replies after the data, where there is one for each recipient.
        self._verdicts: list[Reply] = []
        self.outcome: dict[str, Reply] | None = None
        self.fate: Reply | None = None
        self.failure = ""
        self.progress = False

    # What drivers do

    def deliver(self, message: Message, hold: bool = False) -> None:
        """Begin with *message*, while there is none in hand.

        :param hold: begin with MAIL alone, for `offer` and `go_on`.
        """
        self._forget()
        self._message = message
        self._is_held = hold
        if self.is_ready:
            self._begin(message)
            self._fill()

    def sent(self, count: int) -> None:
        """The first *count* octets have left."""
        self.unsent = self.unsent[count:]
        if self._body is not None and not self.unsent:
            self._prepare(self._body)

    def _prepare(self, body: Iterator[bytes]) -> None:
        """Have the next of the message ready to be sent."""
        assert self._message is not None
        pieces = []
        size = 0
        for piece in body:
            pieces.append(piece)
            size += len(piece)
            if size >= PIECE:
                break
        else:
            self._body = None
            pieces.append(self._message.final_dot)
            if self._lmtp and len(self._accepted) > 1:
                pieces.append(b"QUIT\r\n")  # see `_taken`
        self.unsent = b"".join(pieces)

    def receive(self, octets: bytes) -> bool:
        """Take what the server said; nothing at all says that it has gone.

        :returns: whether there was a reply.
        """
        replies = self._reader.feed(octets)
        for code, text in replies:
            if self._awaited:
                self._awaited.popleft()(code, text)
            elif code != _CLOSING:  # nobody has asked yet: we are out of step
                self._end(NO_REPLY)
            if code == _CLOSING:
                self._end((code, text))
        if self._reader.is_broken:
            self._end(NO_REPLY)
        elif not self._awaited:
            self._fill()
        return replies != []

    def lost(self) -> None:
        """The connection is lost, or time is up."""
        self.receive(b"")

    def quit(self) -> None:
        """Say QUIT, while there is no message in hand; nothing can follow."""
        if not self.is_over:
            self._end(NO_REPLY)
            self.unsent = b"QUIT\r\n"

    # A message on hold: for servers that are asked whose recipients these are

    def offer(self, recipient: str) -> None:
        """Offer another recipient, see `reply_to`."""
        assert self._message is not None
        self._message.rcpttos.append(recipient)
        self._add_recipient(recipient)
        self._fill()

    def reply_to(self, recipient: str) -> Reply | None:
        """The reply to a recipient's RCPT, None while there is none."""
        if recipient in self._accepted:
            return 250, "OK"
        return self._known.get(recipient) or self.fate

    def go_on(self) -> None:
        """Send the message to the recipients that were accepted, one or more."""
        if not self.is_over:
            self._commands.append((b"DATA\r\n", self._may_send))
            self._fill()

    # The end, of the session and of a message

    def _end(self, reply: Reply) -> None:
        """Nothing more can be said; *reply* is for recipients that have none."""
        if not self.is_over:
            self.failure = self.failure or "SMTPServerDisconnected"
        if self._message is not None:
            self._settle(reply)
        else:
            self.fate = self.fate or reply
        self.is_over = True
        self._body = None
        self.unsent = b""
        self._awaited.clear()
        self._commands.clear()

    def _settle(self, reply: Reply) -> None:
        """The message's fate is known; *reply* is for recipients that have none."""
        assert self._message is not None
        reply = self._sender_refusal or reply
        self._known.update(zip(self._accepted, self._verdicts))
        self.fate = reply
        self.outcome = {to: self._known.get(to, reply) for to in self._message.rcpttos}
        self._message = None
        self._commands.clear()

    # The greeting

    def _greeted(self, code: int, text: bytes) -> None:
        if code >= 300:
            self.failure = "SMTPConnectError"
            self._end((code, text))
        elif self._lmtp:
            self._say_hello(b"LHLO", self._said_hello)
        else:
            self._say_hello(b"EHLO", self._said_ehlo)

    def _say_hello(self, verb: bytes, taker: _Taker) -> None:
        self._commands.append((b"%b %b\r\n" % (verb, self._name.encode()), taker))

    def _said_ehlo(self, code: int, text: bytes) -> None:
        if code >= 300 and code != _CLOSING:
            self._say_hello(b"HELO", self._said_hello)
        else:
            self._said_hello(code, text)

    def _said_hello(self, code: int, text: bytes) -> None:
        if code >= 300:
            self.failure = "SMTPHeloError"
            self._end((code, text))
            return
        for line in text.upper().split(b"\n")[1:]:
            self._extensions.update(line.split()[:1])
        if b"PIPELINING" in self._extensions:
            self._window = _WINDOW
        self.is_ready = True
        if self._message is not None:
            self._begin(self._message)

    # The envelope

    def _begin(self, message: Message) -> None:
        mailfrom = message.mailfrom
        sender = b"<>" if mailfrom in ("", "<>") else path(mailfrom)
        if sender is None:
            self._settle(BAD_ADDRESS)
            return
        if not sender.isascii() and b"SMTPUTF8" not in self._extensions:
            self._settle(NO_SMTPUTF8)
            return
        if self._needs_reset:
            self._commands.append((b"RSET\r\n", self._was_reset))
        command = b"MAIL FROM:%b%b\r\n" % (sender, self._options(message))
        self._commands.append((command, self._mail_answered))
        for recipient in message.rcpttos:
            self._add_recipient(recipient)
        if not self._is_held:
            if not self._pending:  # not one that could be said
                self._settle(NO_REPLY)
                return
            self._commands.append((b"DATA\r\n", self._may_send))
        # Some servers keep a transaction whose message they have refused.
        self._needs_reset = True

    def _options(self, message: Message) -> bytes:
        """The parameters of MAIL that the message needs and the server offers."""
        extensions = self._extensions
        options = b""
        if b"SIZE" in extensions:
            options += b" SIZE=%d" % message.size()
        if b"8BITMIME" in extensions and not message.data.isascii():
            options += b" BODY=8BITMIME"
        if b"SMTPUTF8" in extensions and (
            message.smtputf8
            or not all(map(str.isascii, (message.mailfrom, *message.rcpttos)))
        ):
            options += b" SMTPUTF8"
        return options

    def _add_recipient(self, recipient: str) -> None:
        to = path(recipient)
        if to is None:
            self._known[recipient] = BAD_ADDRESS
        elif not to.isascii() and b"SMTPUTF8" not in self._extensions:
            self._known[recipient] = NO_SMTPUTF8
        else:
            self._pending.append(recipient)
            self._commands.append((b"RCPT TO:%b\r\n" % to, self._rcpt_answered))

    def _fill(self) -> None:
        """Say as many commands as may be said now."""
        while self._commands and len(self._awaited) < self._window:
            line, taker = self._commands.popleft()
            self.unsent += line
            self._awaited.append(taker)

    def _was_reset(self, code: int, text: bytes) -> None:
        if code >= 300:
            self._end(NO_REPLY)

    def _mail_answered(self, code: int, text: bytes) -> None:
        if code < 300:
            self.progress = True
            return
        self._sender_refusal = code, text
        self.failure = "SMTPSenderRefused"
        self._check_envelope()

    def _rcpt_answered(self, code: int, text: bytes) -> None:
        recipient = self._pending.popleft()
        if code < 300:
            self._accepted.append(recipient)
        elif self._sender_refusal is None:
            self._known[recipient] = code, text
            if code == _CLOSING:
                self.failure = "SMTPRecipientsRefused"
        self._check_envelope()

    def _check_envelope(self) -> None:
        """Stop before DATA if there is nobody to send it for."""
        if self._awaited:
            return
        if self._sender_refusal is not None:
            self._settle(NO_REPLY)
        elif not (self._pending or self._accepted or self._is_held):
            self._nothing_taken()

    def _nothing_taken(self, *reply: int | bytes) -> None:
        """There is no message that could be taken, whatever the server says to that."""
        self.failure = self.failure or "SMTPRecipientsRefused"
        self._settle(NO_REPLY)

    # The message

    def _may_send(self, code: int, text: bytes) -> None:
        assert self._message is not None
        if not self._accepted:
            # DATA was on its way already (RFC 2920, 3.1).
            if 300 <= code < 400:
                self._commands.append((b".\r\n", self._nothing_taken))
            else:
                self._nothing_taken()
        elif self._sender_refusal is not None:  # and recipients are accepted
            self._end(NO_REPLY)
        elif 300 <= code < 400:
            self._body = self._message.wire()
            self._prepare(self._body)
            replies = len(self._accepted) if self._lmtp else 1
            self._awaited.extend([self._taken] * replies)
        elif code >= 400:
            self.failure = "SMTPDataError"
            self._settle((code, text))
        else:
            self._end(NO_REPLY)

    def _taken(self, code: int, text: bytes) -> None:
        """The reply to the message, in LMTP for one of its recipients.

        Some LMTP servers give one reply for all recipients, above all when they refuse
        the message.  The reply to a QUIT that is sent ahead shows where they end.
        """
        is_early = self.unsent != b""
        if 300 <= code < 400 or (is_early and code < 400):
            self._end(NO_REPLY)
        elif self._lmtp and len(self._accepted) > 1:
            if code != _CLOSED:
                self._verdicts.append((code, text))
            elif len(self._verdicts) == 1:
                self._verdicts *= len(self._accepted)
            if code == _CLOSED or len(self._verdicts) == len(self._accepted):
                self._end(NO_REPLY)
        else:
            self._needs_reset = not is_accepting((code, text))
            if self._needs_reset:
                self.failure = "SMTPDataError"
            self._settle((code, text))
            if is_early:  # it would take the rest for commands
                self._end(NO_REPLY)
