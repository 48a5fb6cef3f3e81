"""The output of a client's connection: lines gathered into segments."""

from __future__ import annotations

TYPE_CHECKING = bool()
if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable
    from typing import Any

    from .._channel import SMTPChannel

#: Octets of output that a client may leave unread before it is read from no more.
_UNSENT_LIMIT = 1 << 20


class Output:
    """What a channel keeps, and does, for its output; part of its `Stream`."""

    __slots__ = ("corked", "is_choked", "last_pushed")

    def __init__(self) -> None:
        #: The turn is still gathering its output.
        self.corked = False
        #: The last segment did not all go out.
        self.is_choked = False
        #: The last line pushed since a hook was given input, b"" if there was none.
        self.last_pushed = b""

    def send_gathered(self, channel: SMTPChannel) -> bool:
        """Send what was pushed, in one segment; False if not all of it went out."""
        unsent = channel.producer_fifo
        if not unsent or type(unsent[0]) is not bytes:
            return True
        output = unsent.popleft()
        if unsent and type(unsent[0]) is bytes:
            pieces = [output]
            while unsent and type(unsent[0]) is bytes:
                pieces.append(unsent.popleft())
            output = b"".join(pieces)
        # At most so much at a time, as asynchat: a subclass's own send over TLS has to
        # be offered the same octets again, in as large a piece as before.
        size = channel.ac_out_buffer_size
        while True:
            piece = output if len(output) <= size else output[:size]
            said = self.last_pushed
            try:
                # One of a program's own that swallows errors returns None, which
                # asynchat takes for nothing sent.
                taken = channel.send(piece) or 0
                self.last_pushed = said
            except OSError:
                self.last_pushed = said
                channel.handle_error()
                if channel.connected:
                    unsent.appendleft(output)
                return False
            self.is_choked = taken < len(piece)
            if not self.is_choked and piece is output:
                return True
            output = output[taken:]
            if self.is_choked:
                unsent.appendleft(output)
                return False

    def run_uncorked(self, channel: SMTPChannel, work: Callable[[], object]) -> None:
        """Do *work* of a subclass's own, whose output leaves as it is pushed.

        It may wait, close, or take the socket in hand (STARTTLS), and counts on the
        client's having what was pushed before.
        """
        corked = self.corked
        if corked and self.is_choked:
            # The client has not taken what was sent before; nothing can leave now.
            work()
            return
        if corked and channel.producer_fifo:
            self.send_gathered(channel)
        self.corked = False
        try:
            work()
        finally:
            self.corked = corked


def is_full(unsent: deque[Any]) -> bool:
    """Whether the client has left too much of a channel's output unread."""
    size = 0
    for piece in unsent:
        size += len(piece) if isinstance(piece, bytes) else 0
        if size > _UNSENT_LIMIT:
            return True
    return False
