"""The turns of a connection: output leaves in one piece, failures are answered."""

# Strategy.  asyncore calls handle_read_event, and there, around the whole turn, stands
# what concerns the turn: output is held back until its end, and an exception becomes a
# reply.  handle_read and the hooks that it calls do just what they do in asynchat, also
# when a test calls them directly.

from __future__ import annotations

import time
from types import FunctionType

import smtpd_compat

from .._asyncore import asynchat, asyncore, is_asyncores
from .._tracing import log_caught
from ._reading import Reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_PACKAGE = smtpd_compat.__name__ + "."

#: Octets of output that a client may leave unread before it is read from no more.
_UNSENT_LIMIT = 1 << 20


class Chat(Reader):
    """An `asynchat.async_chat` that works in turns and outlives exceptions."""

    def _smtpd_answer_failure(self) -> None:
        """Bring the conversation back into order after an exception."""
        raise NotImplementedError

    def _smtpd_say_timeout(self) -> None:
        """Take leave of a client that has been silent for too long."""
        raise NotImplementedError

    # Turns.  While asyncore asks who wants to read or to write, it has collected
    # descriptors already, and none may be closed; so nothing is done in readable and
    # writable but to close this channel itself.

    def readable(self) -> bool:
        """Whether to read from the client; asked in every turn of the loop."""
        return (
            not self._smtpd_state.is_held_up or self._smtpd_is_readable_all_the_same()
        )

    def writable(self) -> bool:
        """Whether there is something to send, or to do."""
        state = self._smtpd_state
        if state.is_held_up and (state.deferred is not None or self._fileno is None):
            return self._fileno is not None
        return True if self.producer_fifo else not self.connected

    def _smtpd_is_readable_all_the_same(self) -> bool:
        state = self._smtpd_state
        if state.is_abandoned:
            self.handle_close()
        if state.awaits_answer or state.deferred is not None or self._fileno is None:
            return False
        unsent = self.producer_fifo
        state.is_held_up = bool(unsent)
        return not (
            unsent and isinstance(unsent[0], bytes) and len(unsent[0]) > _UNSENT_LIMIT
        )

    def handle_read_event(self) -> None:
        """Read what there is, and answer it."""
        if self._smtpd_state.last_heard is not None:
            self._smtpd_state.last_heard = time.monotonic()
        self._smtpd_take_turn(self.handle_read)

    def handle_write_event(self) -> None:
        """Do what was deferred, or send what waits."""
        state = self._smtpd_state
        work = state.deferred
        if work is None:
            super().handle_write_event()
        else:
            state.deferred = None
            self._smtpd_take_turn(work)

    def handle_expt(self) -> None:
        """Drop an urgent octet (MSG_OOB), which would be reported for ever."""
        try:
            self.socket.recv(1, smtpd_compat.socket.MSG_OOB)
        except OSError:
            pass

    def _smtpd_await_answer(self) -> None:
        """Read and consume nothing until `State.awaits_answer` is false again."""
        self._smtpd_state.awaits_answer = True
        self._smtpd_state.is_held_up = True

    def _smtpd_defer(self, work: Callable[[], None]) -> None:
        """Have *work* done in a turn of its own, before anything else is read."""
        self._smtpd_state.deferred = work
        self._smtpd_state.is_held_up = True
        self._smtpd_tell()

    def _smtpd_take_turn(self, work: Callable[[], None]) -> None:
        """Do *work*; after an exception, answer the failure; send what was pushed."""
        state = self._smtpd_state
        state.corked = True
        try:
            while True:
                try:
                    work()
                    return
                except asyncore.ExitNow:
                    raise
                except Exception:
                    state.last_output = b""
                    if not self._smtpd_is_stock("handle_error"):
                        # asyncore calls it, and it has its say before we answer.
                        self._smtpd_defer(self._smtpd_recover)
                        raise
                    log_caught(self, "keeping")
                    if not self._smtpd_could_answer():
                        return
                work = self._smtpd_consume
        finally:
            state.corked = False
            unsent = self.producer_fifo
            if unsent and self.connected and self._smtpd_send_gathered() and unsent:
                # What is left is the end of the connection, or a producer.
                self.initiate_send()
            if state.changed is not None:
                state.changed(self._fileno)

    def _smtpd_could_answer(self) -> bool:
        try:
            self._smtpd_answer_failure()
        except asyncore.ExitNow:
            raise
        except Exception:  # noqa: BLE001 - or it would be answered for ever
            log_caught(self, "closing")
            self.handle_close()
            return False
        return True

    def _smtpd_recover(self) -> None:
        if self._smtpd_could_answer():
            self._smtpd_consume()

    def _smtpd_close_if_idle(self, now: float, timeout: float) -> None:
        """Take leave if nothing has been received for *timeout* seconds.

        :param now: by `time.monotonic`; the time before the first call does not count.
        """
        state = self._smtpd_state
        if state.last_heard is None or state.awaits_answer:
            state.last_heard = now
        elif now - state.last_heard < timeout:
            pass
        elif state.is_finished or state.deferred is not None:
            state.is_abandoned = True
            state.is_held_up = True
            self._smtpd_tell()
        else:
            state.last_heard = now
            self._smtpd_defer(self._smtpd_say_timeout)

    def _smtpd_tell(self) -> None:
        """Tell `smtpd_compat.loop` to ask again."""
        if self._smtpd_state.changed is not None:
            self._smtpd_state.changed(self._fileno)

    def _smtpd_send_gathered(self) -> bool:
        """Send what was pushed, in one piece; False if not all of it went out."""
        unsent = self.producer_fifo
        if not isinstance(unsent[0], bytes):
            return True
        output = unsent.popleft()
        if unsent and isinstance(unsent[0], bytes):
            pieces = [output]
            while unsent and isinstance(unsent[0], bytes):
                pieces.append(unsent.popleft())
            output = b"".join(pieces)
        try:
            sent = self.send(output)
        except OSError:
            self.handle_error()
            return False
        if sent < len(output):
            unsent.appendleft(output[sent:])
            self._smtpd_state.is_held_up = True
            self._smtpd_state.is_choked = True
            return False
        self._smtpd_state.is_choked = False
        return True

    def _smtpd_ungathered(self, work: Callable[[], object]) -> None:
        """Do *work* of a subclass's own, whose output leaves as it is pushed.

        It may wait, close, or take the socket in hand (STARTTLS), and counts on the
        client's having what was pushed before.
        """
        state = self._smtpd_state
        corked = state.corked
        if corked and state.is_choked:
            # The client has not taken what was sent before; nothing can leave now.
            work()
            return
        if corked:
            if self.producer_fifo:
                self._smtpd_send_gathered()
            state.corked = False
        try:
            work()
        finally:
            state.corked = corked

    # Output

    def initiate_send(self) -> None:
        """Send what waits, unless the turn is still gathering."""
        if self.producer_fifo and isinstance(self.producer_fifo[-1], bytes):
            self._smtpd_state.last_output = self.producer_fifo[-1]
        if self._smtpd_state.corked:
            return
        asynchat.async_chat.initiate_send(self)
        if self.producer_fifo:
            self._smtpd_state.is_held_up = True
            self._smtpd_tell()
        else:
            self._smtpd_state.is_choked = False

    def _smtpd_send_at_once(self) -> None:
        """Have short segments not wait for an acknowledgement (Nagle's algorithm)."""
        socket = smtpd_compat.socket
        try:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except (OSError, AttributeError):  # not TCP, or a test's own socket
            pass

    def close_when_done(self) -> None:
        """Close once everything is sent; what the client still says is not heard."""
        self._smtpd_state.is_finished = True
        asynchat.async_chat.close_when_done(self)
        self._smtpd_tell()

    def del_channel(self, map: dict[int, Any] | None = None) -> None:
        """Leave the socket map."""
        self._smtpd_tell()
        asynchat.async_chat.del_channel(self, map)

    def close(self) -> None:
        """Close the connection."""
        if self._smtpd_state.corked and self.connected and self.producer_fifo:
            self._smtpd_send_gathered()
        self._smtpd_state.is_finished = True
        self._smtpd_state.is_held_up = True
        asynchat.async_chat.close(self)

    # What a subclass or a patch has replaced

    #: The methods of this class and of SMTPChannel as this package and asyncore have
    #: them, filled in by SMTPChannel.
    _smtpd_stock: frozenset[Any] = frozenset()

    def _smtpd_is_stock(self, name: str) -> bool:
        """Whether the method *name* is neither overridden nor patched."""
        return getattr(getattr(self, name), "__func__", None) in self._smtpd_stock


def stock_methods(cls: type) -> frozenset[FunctionType]:
    """The methods that instances of *cls* have, but for what was patched into asyncore.

    :param cls: a class of this package.
    """
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        found.update(vars(base))
    return frozenset(
        method
        for method in found.values()
        if isinstance(method, FunctionType)
        and (is_asyncores(method) or method.__module__.startswith(_PACKAGE))
    )
