"""What a channel keeps for itself, besides what programs read and write."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .._text._message import MessageText


class State:
    """What a channel keeps for itself.

    Not among the channel's own attributes: with more than 29 of them, or with slots
    beside them, Python 3.13 finds all of them slowly.  And none of them may begin in
    the class, for it is slow to find one that the class has too.
    """

    __slots__ = (
        "at_start_of_data",
        "awaits_answer",
        "changed",
        "corked",
        "deferred",
        "input",
        "is_abandoned",
        "is_choked",
        "is_collecting",
        "is_finished",
        "is_held_up",
        "last_heard",
        "last_output",
        "position",
        "text",
    )

    def __init__(self) -> None:
        #: What was received, and how much of it has been looked at.
        self.input = b""
        self.position = 0
        #: Nothing has come since the terminator became that of a message.
        self.at_start_of_data = False
        #: A hook is being given a piece of input; if it fails, the rest means nothing.
        self.is_collecting = False
        #: The message is with a worker: nothing is read until it has been answered.
        self.awaits_answer = False
        #: After QUIT, or closed: nothing that the client says counts any more.
        self.is_finished = False
        #: The turn is still gathering its output.
        self.corked = False
        #: What was pushed last; reset where it matters whether anything has been.
        self.last_output = b""
        #: When something was last received (`time.monotonic`); None if nobody asks.
        self.last_heard: float | None = None
        #: What the next turn that asyncore gives is for.
        self.deferred: Callable[[], None] | None = None
        #: Whether something may keep it from being read: an answer that is awaited,
        #: work that was deferred, unsent output, a close.  Looked into when it is to
        #: be read.
        self.is_held_up = False
        #: The last output did not all go out.
        self.is_choked = False
        #: Silent, and does not even take the farewell.
        self.is_abandoned = False
        #: Tells `smtpd_compat.loop` which channel, by descriptor, is to be asked.
        self.changed: Callable[[int], None] | None = None
        #: The message, while it arrives and nobody can tell how it is kept.
        self.text: MessageText | None = None
