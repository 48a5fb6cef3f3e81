"""Threads that run a handler while the loop goes on.

Threads and the socket pair that wakes the loop exist only while messages are in hand:
a thread ends when the queue is empty, the pair is closed with the last answer.  So
nothing is left to be stopped, whenever a server or a client goes away.
"""

from __future__ import annotations

import collections
import errno
import threading

import smtpd_compat

from .._asyncore import asyncore
from .._loop import select_cannot_hold

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    _Call = Callable[[], Any]
    _Answered = Callable[[_Call], None]

_HANDLERS = ("process_message", "_deliver")


def may_use_workers(server: Any) -> bool:
    """Whether the author of *server*'s handler asked for threads.

    ``worker_threads`` counts for the handlers that stood when it was set: a class that
    overrides one of them and leaves ``worker_threads`` alone was written for the loop,
    and so was a function that was put into one of our classes.
    """
    for names in [vars(server)] + [vars(cls) for cls in type(server).__mro__]:
        if "worker_threads" in names:
            return bool(names["worker_threads"]) and not _is_ours_but_patched(names)
        if any(handler in names for handler in _HANDLERS):
            return False
    return False


def _is_ours_but_patched(names: Mapping[str, Any]) -> bool:
    """Whether these are the names of a class of ours with somebody's handler in it."""
    package = smtpd_compat.__name__
    if names.get("__module__") != package:
        return False
    handlers = [names[handler] for handler in _HANDLERS if handler in names]
    # A wrapper has the __module__ of what it wraps, but names of its own module's.
    modules = [getattr(handler, "__globals__", {}) for handler in handlers]
    return not all(
        f"{module.get('__name__')}.".startswith(f"{package}.") for module in modules
    )


class Crew:
    """Runs calls in at most *size* threads and brings the answers to the loop."""

    def __init__(self, size: int, map: dict[int, Any]) -> None:
        self._size = size
        self._map = map
        self._lock = threading.Lock()
        self._queue: collections.deque[tuple[_Call, _Answered]] = collections.deque()
        self._answers: collections.deque[tuple[_Answered, _Call]] = collections.deque()
        self._threads = 0
        self._in_hand = 0
        self._waker: _Waker | None = None

    def submit(self, call: _Call, answered: _Answered) -> None:
        """Run *call*, then ``answered(outcome)`` on the loop's thread, which calls.

        :raises OSError: if there are no descriptors to wake the loop with.
        :raises RuntimeError: if no thread can be started.
        """
        if self._waker is None or not self._waker.connected:
            self._waker = _Waker(self._map, self._bring_answers)
        with self._lock:
            start = self._threads < self._size
            if start:
                self._threads += 1
            else:
                self._queue.append((call, answered))
        if start:
            try:
                self._start(call, answered)
            except RuntimeError:
                self._close_if_idle()
                raise
        self._in_hand += 1

    def _start(self, call: _Call, answered: _Answered) -> None:
        try:
            threading.Thread(
                target=self._work,
                args=(call, answered),
                name="smtpd_compat worker",
                daemon=True,
            ).start()
        except RuntimeError:  # the system has no more; one that runs will do
            with self._lock:
                self._threads -= 1
                if not self._threads:
                    raise
                self._queue.append((call, answered))

    def _work(self, call: _Call, answered: _Answered) -> None:
        while True:
            self._answers.append((answered, _outcome(call)))
            self._wake()
            with self._lock:
                if not self._queue:
                    self._threads -= 1
                    return
                call, answered = self._queue.popleft()

    def _wake(self) -> None:
        waker = self._waker
        if waker is not None:
            waker.wake()

    def _bring_answers(self) -> None:
        while self._answers:
            answered, outcome = self._answers.popleft()
            self._in_hand -= 1
            try:
                answered(outcome)
            except BaseException:
                self._wake()
                raise
        self._close_if_idle()

    def _close_if_idle(self) -> None:
        if not self._in_hand and self._waker is not None:
            self._waker.close()
            self._waker = None


class _Waker(asyncore.dispatcher):
    """The readable end of a socket pair; a byte in it ends the loop's waiting."""

    def __init__(self, map: dict[int, Any], woken: Callable[[], None]) -> None:
        near_end, self._far_end = smtpd_compat.socket.socketpair()
        if select_cannot_hold(near_end, map):
            near_end.close()
            self._far_end.close()
            raise OSError(errno.EMFILE, "no descriptor left that select can hold")
        self._far_end.setblocking(False)
        self._woken = woken
        # Else a thread might write into a descriptor that has just been closed and
        # is a client's already.
        self._lock = threading.Lock()
        super().__init__(near_end, map)

    def wake(self) -> None:
        """End the loop's waiting; may be called on any thread."""
        with self._lock:
            try:
                self._far_end.send(b"\0")
            except OSError:  # full, so that the loop will wake; or closed
                pass

    def writable(self) -> bool:
        return False

    def handle_read(self) -> None:
        try:
            self.recv(4096)
        except BlockingIOError:  # read in a loop that a handler has run
            return
        self._woken()

    def handle_error(self) -> None:
        raise  # noqa: PLE0704 - what asyncore caught goes on, out of the loop

    def close(self) -> None:
        with self._lock:
            self._far_end.close()
        super().close()


def _outcome(call: _Call) -> _Call:
    """A function that returns what *call* returns, or raises what it raises."""
    try:
        result = call()
    except BaseException as error:  # noqa: BLE001 - raised on the loop's thread
        caught = error

        def outcome() -> Any:
            raise caught

    else:

        def outcome() -> Any:
            return result

    return outcome
