"""Input, cut into pieces as `asynchat.async_chat` cuts it, for less.

The input is not sliced anew for every line; a position moves through it.
"""

from __future__ import annotations

from .._asyncore import asynchat
from ._state import State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from typing import Any

_END_OF_DATA = b"\r\n.\r\n"
_EMPTY_DATA = b".\r\n"


class Reader(asynchat.async_chat):
    """An `asynchat.async_chat` that moves through its input."""

    # asynchat's own
    producer_fifo: deque[Any]
    socket: Any
    terminator: Any
    _fileno: Any
    _map: dict[int, Any]

    # Whatever the original does not have is called _smtpd_..., here and in the other
    # classes that programs subclass: their subclasses have names of their own.

    _smtpd_state: State

    def _smtpd_begin(self) -> None:
        """Set what our ``__init__`` sets, in subclasses that never call it."""
        self._smtpd_state = State()

    def _smtpd_has_begun(self) -> bool:
        try:
            object.__getattribute__(self, "_smtpd_state")  # asks no __getattr__
        except AttributeError:
            return False
        return True

    @property
    def ac_in_buffer(self) -> bytes:
        """What has been received and not yet looked at."""
        return self._smtpd_state.input[self._smtpd_state.position :]

    @ac_in_buffer.setter
    def ac_in_buffer(self, unread: bytes) -> None:
        # This is the first that asynchat's __init__ does.
        if not self._smtpd_has_begun():
            self._smtpd_begin()
        self._smtpd_state.input = unread
        self._smtpd_state.position = 0

    def set_terminator(self, term: Any) -> None:
        """Set what ends the next piece of input, as `asynchat.async_chat` takes it."""
        if isinstance(term, str):  # as in 2.7
            term = term.encode("ascii")
        if isinstance(term, bytes):
            self.terminator = term
        else:
            asynchat.async_chat.set_terminator(self, term)
        if not self._smtpd_has_begun():
            self._smtpd_begin()
        self._smtpd_state.at_start_of_data = self.terminator == _END_OF_DATA

    def handle_read(self) -> None:
        """Receive what there is, and look at it."""
        state = self._smtpd_state
        try:
            data = self.recv(self.ac_in_buffer_size)
        except BlockingIOError:
            return
        except OSError:
            self.handle_error()
            return
        if state.position < len(state.input):
            data = state.input[state.position :] + data
        state.input = data
        state.position = 0
        self._smtpd_consume()

    def _smtpd_consume(self) -> None:
        """Cut the input at its terminators, for the two hooks of asynchat."""
        state = self._smtpd_state
        while not state.awaits_answer:
            unread = state.input
            start = state.position
            if start >= len(unread) or state.is_finished:
                state.input = b""
                state.position = 0
                return
            terminator: Any = self.get_terminator()
            if not terminator or isinstance(terminator, int):
                self._smtpd_consume_by_count(terminator, start, len(unread))
                continue
            if state.at_start_of_data:
                if _EMPTY_DATA.startswith(unread[start : start + 3]):
                    if len(unread) - start < 3:
                        return
                    state.at_start_of_data = False
                    state.position = start + 3
                    self._smtpd_end_piece()
                    continue
                state.at_start_of_data = False
            if terminator == _END_OF_DATA and unread.find(b".", start) < 0:
                # Most of a message has no dot; one octet is found faster than five.
                end = -1
            else:
                end = unread.find(terminator, start)
            if end >= 0:
                state.position = end + len(terminator)
                self._smtpd_whole_piece(unread[start:end])
                continue
            held = _prefix_at_end(unread, terminator)
            self._smtpd_collect(start, max(start, len(unread) - held))
            if held:
                return

    def _smtpd_consume_by_count(self, count: int | None, start: int, end: int) -> None:
        """Consume *count* octets, or whatever there is, as asynchat does."""
        if count:
            end = min(start + count, end)
        self._smtpd_collect(start, end)
        if count:
            self.terminator = count - (end - start)
            if not self.terminator:
                self._smtpd_end_piece()

    def _smtpd_whole_piece(self, piece: bytes) -> None:
        """What came in one piece up to its terminator."""
        if piece:
            self._smtpd_state.is_collecting = True
            self._smtpd_give_piece(piece)
            self._smtpd_state.is_collecting = False
        self._smtpd_end_piece()

    def _smtpd_give_piece(self, piece: bytes) -> None:
        self.collect_incoming_data(piece)

    def _smtpd_end_piece(self) -> None:
        self.found_terminator()

    def _smtpd_collect(self, start: int, end: int) -> None:
        self._smtpd_state.position = end
        if end > start:
            self._smtpd_state.is_collecting = True
            self._smtpd_give_piece(self._smtpd_state.input[start:end])
            self._smtpd_state.is_collecting = False


def _prefix_at_end(text: bytes, terminator: bytes) -> int:
    """How many octets at the end of *text* may be the start of *terminator*."""
    size = len(terminator) - 1
    while size and not text.endswith(terminator[:size]):
        size -= 1
    return size
