"""One client's connection, below SMTP: input in pieces, turns, what it waits for."""

# How a channel lives in asyncore
# ===============================
#
# A turn.  asyncore calls handle_read_event when something has arrived.  What the
# channel pushes during the turn is gathered (`corked`) and leaves in one segment at its
# end, unless a program's own initiate_send is to see each line.  An exception is
# answered, and the turn goes on with the input that is left.  handle_read and the hooks
# that it calls do what they do in asynchat, also when a test calls them without a turn.
#
# Input.  `unread` is what recv returned; `position` moves through it, so that it is not
# sliced anew for every line.
#
# Hold.  One attribute says what has to happen before anything more is read:
#
#     hold         means                             it ends
#     None         nothing: the channel reads
#     WORKER       somebody else has the message:    when the answer is brought: it
#                  a worker, or a relay's client     becomes a function then
#     a function   it waits for a turn of its own    in handle_write_event, so such a
#                                                    channel says that it is writable
#     FULL         the client has left too many      when asyncore asks next, and it has
#                  replies unread                    taken some
#     GIVEN_UP     silent for too long, and takes    when asyncore asks next: then the
#                  not even the farewell             connection is closed
#
# The answer may be brought at any time: before the message's own turn is over, or in
# the turn of another dispatcher.
#
# One command, one reply.  `last_pushed` is emptied before a hook gets the next piece of
# input, so a hook that fails while it is not empty has replied already.  Then the next
# reply would be taken for that of the next command: the client is told 421 and the
# connection is closed.  A hook that fails while WORKER holds is only logged: the reply
# is still to come.
#
# readable and writable close this channel, if anything, and do nothing else: poll() has
# put descriptors into its lists, and closing another channel now means EBADF in select.

from __future__ import annotations

from functools import partial

from .._asyncore import LEAVING, asynchat, asyncore, is_asyncores
from .._tracing import log_caught
from ._output import Output, is_full

TYPE_CHECKING = bool()
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .._channel import SMTPChannel

#: In the place of the last line pushed: nothing has been asked, so that a reply would
#: be taken for the next command's; and it was a producer that was pushed.
UNASKED = b"-"
PRODUCED = b"*"

WORKER = "a worker"
FULL = "full"
GIVEN_UP = "given up"

#: As asynchat has them; tests patch them there to see what is said.
_PUSH = asynchat.async_chat.push
_INITIATE_SEND = asynchat.async_chat.initiate_send

#: The channel's methods as this package has them; `_channel` fills it.
STOCK: set[Any] = set()

_END_OF_DATA = b"\r\n.\r\n"
_EMPTY_DATA = b".\r\n"


class Stream(Output):
    """What a channel keeps, and does, for its connection.

    The channel has the names that programs know, and one more: that of this object.
    It is handed in, since an object that kept it would not be freed with it.

    An object of its own, with slots: slots beside a channel's attributes would make
    each of those take three times as long on Python 3.13.
    """

    __slots__ = (
        "at_start_of_data",
        "has_failed",
        "hold",
        "in_turn",
        "is_collecting",
        "is_finished",
        "last_heard",
        "poller",
        "position",
        "unread",
    )

    def __init__(self) -> None:
        super().__init__()
        self.unread = b""
        self.position = 0
        #: Nothing has come since the terminator became that of a message.
        self.at_start_of_data = False
        #: A hook has been given a piece of a line; if it fails, the rest means nothing.
        self.is_collecting = False
        self.hold: Any = None
        #: A turn has failed, and no input was looked at since.
        self.has_failed = False
        #: After QUIT, or closed: nothing that the client says counts any more.
        self.is_finished = False
        self.in_turn = False
        #: When something was last received (`time.monotonic`); None if nobody asks.
        self.last_heard: float | None = None
        #: Of `smtpd_compat.loop`: what is to be told of changes, if anything.
        self.poller: Any = None

    # For the protocol

    def take_piece(self, channel: SMTPChannel, piece: bytes, ends: bool) -> None:
        """Act on a piece of input; *ends* says that the terminator came after it."""
        raise NotImplementedError

    def answer_failure(self, channel: SMTPChannel, answered: bytes) -> None:
        """Bring the conversation back into order after an exception.

        :param answered: what the client was told before it, b"" if nothing.
        """
        raise NotImplementedError

    # Input

    def receive(self, channel: SMTPChannel) -> None:
        """Receive what there is, and act on it."""
        try:
            data = channel.recv(channel.ac_in_buffer_size)
        except BlockingIOError:
            return
        except OSError:
            channel.handle_error()
            return
        self.unread = self.unread[self.position :] + data
        self.position = 0
        self.consume(channel)

    def consume(self, channel: SMTPChannel) -> None:
        """Cut the input at its terminators, as `asynchat.async_chat` does."""
        while self.hold is None:
            unread = self.unread
            start = self.position
            if start >= len(unread) or self.is_finished:
                self.unread = b""
                return
            self.last_pushed = b""
            self.has_failed = False
            terminator: Any = channel.get_terminator()
            if not terminator or (
                type(terminator) is not bytes and isinstance(terminator, int)
            ):
                self._consume_by_count(channel, terminator, start, len(unread))
                continue
            if self.at_start_of_data:
                if _EMPTY_DATA.startswith(unread[start : start + 3]):
                    if len(unread) - start < 3:
                        return
                    self.at_start_of_data = False
                    self.position = start + 3
                    self.take_piece(channel, b"", True)
                    continue
                self.at_start_of_data = False
            if terminator == _END_OF_DATA and unread.find(b".", start) < 0:
                # Most of a message has no dot; one octet is found faster than five.
                end = -1
            else:
                end = unread.find(terminator, start)
            if end >= 0:
                self.position = end + len(terminator)
                self.take_piece(channel, unread[start:end], True)
                continue
            held = _prefix_at_end(unread, terminator)
            self.position = max(start, len(unread) - held)
            self.take_piece(channel, unread[start : self.position], False)
            self.last_pushed = self.last_pushed or UNASKED  # the rest is to come
            if held:
                return

    def _consume_by_count(
        self, channel: SMTPChannel, count: int | None, start: int, end: int
    ) -> None:
        """Consume *count* octets, or whatever there is."""
        if count:
            end = min(start + count, end)
        self.position = end
        self.take_piece(channel, self.unread[start:end], False)
        if count:
            channel.terminator = count - (end - start)
            if not channel.terminator:
                self.take_piece(channel, b"", True)

    # Turns

    def is_readable(self, channel: SMTPChannel) -> bool:
        """Whether to read from the client."""
        if self.hold is FULL and not is_full(channel.producer_fifo):
            self.hold = None
        if self.hold is GIVEN_UP:
            self.see_closed(channel)
        return self.hold is None

    def is_writable(self, channel: SMTPChannel) -> bool:
        """Whether there is something to send, or to do."""
        if callable(self.hold):
            return True
        if self.hold is GIVEN_UP:
            return False
        return True if channel.producer_fifo else not channel.connected

    def take_held(self) -> Callable[[], None] | None:
        """What waits for a turn of its own."""
        work: Any = self.hold
        if not callable(work):
            return None
        self.hold = None
        self.has_failed = False
        return work  # type: ignore[no-any-return]

    def hold_for(self, channel: SMTPChannel, work: Any) -> None:
        """Have *work* done, or WORKER end, before anything else is read."""
        self.hold = work
        self.changed(channel)

    def turn(self, channel: Any, work: Callable[[], None]) -> None:
        """Do *work*; after an exception, answer the failure; send what was pushed."""
        self.in_turn = True
        # Where a program's own sends, each line leaves as it is pushed, as in asynchat.
        asynchats = asynchat.async_chat
        try:
            self.corked = (
                channel.initiate_send.__func__ in STOCK
                and asynchats.push is _PUSH
                and asynchats.initiate_send is _INITIATE_SEND
            )
        except AttributeError:
            self.corked = False
        try:
            while True:
                try:
                    work()
                    return
                except LEAVING:
                    raise
                except BaseException:
                    is_answered_later = self.hold is not None
                    is_stuck = self.has_failed
                    recover = partial(self._recover, channel, self.last_pushed)
                    if not is_answered_later:
                        self.last_pushed = b""
                    if self.has_own_handle_error(channel):
                        # asyncore calls it, and it has its say before we answer.
                        if not is_answered_later and not is_stuck:
                            self.hold_for(channel, recover)
                        raise
                    log_caught(channel, "closing" if is_stuck else "keeping")
                    if is_stuck:
                        self.see_closed(channel)
                    if is_stuck or is_answered_later:
                        return
                work = recover
        finally:
            self.in_turn = False
            unsent = channel.producer_fifo
            if self.corked:
                self.corked = False
                if channel.connected and self.send_gathered(channel) and unsent:
                    # What is left is the end of the connection, or a producer.
                    channel.initiate_send()
            if unsent and self.hold is None and is_full(unsent):
                self.hold = FULL
            if self.poller is not None and (
                unsent
                or self.hold is not None
                or not self.has_stock_wants(channel)
            ):
                self.poller.notify(channel._fileno)

    def _recover(self, channel: SMTPChannel, answered: bytes) -> None:
        self.has_failed = True
        try:
            self.answer_failure(channel, answered)
        except LEAVING:
            raise
        except BaseException:  # noqa: BLE001 - or it would be answered for ever
            log_caught(channel, "closing")
            self.see_closed(channel)
            return
        self.consume(channel)

    def changed(self, channel: SMTPChannel) -> None:
        """Tell `smtpd_compat.loop` to ask again."""
        if self.poller is not None:
            self.poller.notify(channel._fileno)

    # Output

    def initiate_send(self, channel: SMTPChannel) -> None:
        """Send what waits, unless the turn is still gathering."""
        if channel.producer_fifo and channel.producer_fifo[-1] is not None:
            said = channel.producer_fifo[-1]
            self.last_pushed = said if isinstance(said, bytes) else PRODUCED
        if self.corked:
            return
        said = self.last_pushed
        asynchat.async_chat.initiate_send(channel)
        self.last_pushed = said
        if not channel.producer_fifo:
            self.is_choked = False
        if channel.producer_fifo or self.hold is FULL:
            self.changed(channel)

    def close(self, channel: SMTPChannel) -> None:
        """Send what the turn has gathered, and hear nothing more."""
        if self.corked and channel.connected:
            self.send_gathered(channel)
        self.is_finished = True

    def see_closed(self, channel: SMTPChannel) -> None:
        """Have *channel* closed, although a close of its class's own may fail.

        What is raised here would end asyncore's loop.
        """
        try:
            channel.handle_close()
        except LEAVING:
            raise
        except BaseException:  # noqa: BLE001 - as asyncore does
            log_caught(channel, "closing")
            self.is_finished = True
            asyncore.dispatcher.close(channel)

    # What a subclass or a patch has replaced

    def is_stock(self, channel: SMTPChannel, name: str) -> bool:
        """Whether the channel's method *name* is neither overridden nor patched."""
        return getattr(getattr(channel, name), "__func__", None) in STOCK

    def has_stock_wants(self, channel: Any) -> bool:
        """Whether readable and writable are this package's, which tell of changes."""
        try:
            return (
                channel.readable.__func__ in STOCK
                and channel.writable.__func__ in STOCK
            )
        except AttributeError:
            return False

    def has_own_handle_error(self, channel: SMTPChannel) -> bool:
        """Whether ``handle_error`` is overridden, or patched here or in asyncore."""
        return not (
            self.is_stock(channel, "handle_error")
            and is_asyncores(asyncore.dispatcher.handle_error)
        )


def _prefix_at_end(text: bytes, terminator: bytes) -> int:
    """How many octets at the end of *text* may be the start of *terminator*."""
    size = len(terminator) - 1
    while size and not text.endswith(terminator[:size]):
        size -= 1
    return size
