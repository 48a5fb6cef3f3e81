"""Threads that run a handler while the loop goes on.

A server's threads stay for a second after their last message, and the socket pair
that wakes the loop for as long as the server: to make them anew for each message cost
three times as much as a short handler does.  Nothing of it keeps a process, or a loop
without other sockets, from ending.
"""

from __future__ import annotations

import collections
import errno
import os
import queue
import threading
import weakref

import smtpd_compat

from .._asyncore import asyncore
from .._loop import select_cannot_hold

TYPE_CHECKING = bool()
if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Mapping
    from typing import Any

    _Call = Callable[[], Any]
    _Answered = Callable[[_Call], None]

_HANDLERS = ("process_message", "_deliver")

#: Seconds for which a thread waits for another call.
_IDLE = 1.0

#: Seconds to wait at most for the end of a thread that has nothing left to do.
_JOIN = 1.0


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


class WorkerPool:
    """Runs calls in at most *size* threads, and brings the results to the loop.

    A thread that has had nothing to do for `_IDLE` seconds ends, or as soon as the
    pool is closed.  What wakes the loop is in the socket map only while calls are in
    hand, so that a loop which ends with an empty map ends.
    """

    def __init__(self, size: int, map: dict[int, Any]) -> None:
        self._size = size
        self._map = map
        self._is_closed = False
        self._begin()
        _pools.add(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._calls: queue.SimpleQueue[tuple[_Call, _Answered] | None]
        self._calls = queue.SimpleQueue()
        self._results: collections.deque[tuple[_Answered, _Call]] = collections.deque()
        #: Those that may still run, to be joined.
        self._threads: list[threading.Thread] = []
        #: Threads that take calls.
        self._working = 0
        #: Calls that no thread has finished.
        self._unfinished = 0
        #: Calls whose results have not been brought to the loop.
        self._in_hand = 0
        self._pipe: _SelfPipe | None = None
        #: The pipe has been written to, and not been read since.
        self._is_woken = False

    def submit(self, call: _Call, answered: _Answered) -> None:
        """Run *call*, then ``answered(outcome)`` on the loop's thread, which calls.

        What is raised, such as OSError or RuntimeError, says that neither will be
        called: there is no descriptor to wake the loop with, or no thread at all.
        """
        self._open_pipe()
        with self._lock:
            self._unfinished += 1
        try:
            if self._working < min(self._unfinished, self._size):
                self._start_thread()
            self._calls.put((call, answered))
        except BaseException:
            with self._lock:
                self._unfinished -= 1
            self._rest()
            raise
        self._in_hand += 1

    def close(self) -> None:
        """Let the threads end: now, or when they have finished what is in hand."""
        self._is_closed = True
        for _ in range(self._working):
            self._calls.put(None)
        self._rest()

    def forget_parent(self) -> None:
        """Begin anew in a forked child, where none of the threads run.

        The calls in hand are the parent's, and so is the other end of the pipe.
        """
        pipe = self._pipe
        self._begin()
        if pipe is not None:
            pipe.lock = self._lock  # the old one may be locked for ever
            pipe.close()

    def _open_pipe(self) -> None:
        if self._pipe is None or not self._pipe.connected:
            self._pipe = _SelfPipe(self._map, self._deliver_results, self._lock)
            self._is_woken = False
        try:
            self._pipe.enter()
        except BaseException:
            self._pipe.close()
            raise

    def _rest(self) -> None:
        """With nothing in hand, leave the socket map, and end if that is wanted."""
        if self._in_hand:
            return
        if self._pipe is not None:
            self._pipe.leave()
        if self._is_closed:
            self.join()
            if self._pipe is not None:
                self._pipe.close()

    def join(self) -> None:
        """Wait, briefly, for the threads that are about to end."""
        for thread in self._threads:
            thread.join(_JOIN)

    def _start_thread(self) -> None:
        """Start a thread; do without if there is one already."""
        permit = ["to take calls"]
        threads = self._threads
        with self._lock:
            self._working += 1
        try:
            thread = threading.Thread(
                target=self._work,
                args=(permit,),
                name="smtpd_compat worker",
                daemon=True,
            )
            threads = [*threads, thread]
            thread.start()
        except BaseException as error:
            with self._lock:
                if permit:  # it has not begun, and will not
                    permit.clear()
                    self._working -= 1
                if not self._working or not isinstance(error, Exception):
                    raise
        finally:
            self._threads = [thread for thread in threads if thread.is_alive()]

    # On the threads

    def _work(self, permit: list[str]) -> None:
        with self._lock:
            if not permit:
                return
            permit.clear()
        while self._work_once():
            pass

    def _work_once(self) -> bool:
        try:
            task = self._calls.get(timeout=0.001 if self._is_closed else _IDLE)
        except queue.Empty:
            task = None
        if task is None:
            with self._lock:
                if self._working <= self._unfinished:
                    return True  # a call is on its way to this thread
                self._working -= 1
                return False
        result = task[1], _outcome(*_came_of(task[0]))
        # The exception keeps this frame, which is not to keep the exception.
        del task
        with self._lock:
            self._unfinished -= 1
            self._results.append(result)
            del result
            self._wake()
        return True

    def _wake(self) -> None:
        if not self._is_woken and self._pipe is not None:
            self._is_woken = True
            self._pipe.wake()

    # On the loop's thread

    def _deliver_results(self) -> None:
        self._is_woken = False
        while self._results:
            answered, outcome = self._results.popleft()
            self._in_hand -= 1
            try:
                answered(outcome)
            except BaseException:
                with self._lock:
                    self._wake()
                raise
        self._rest()


class _SelfPipe(asyncore.dispatcher):
    """The readable end of a socket pair; a byte in it ends the loop's waiting."""

    def __init__(
        self,
        map: dict[int, Any],
        woken: Callable[[], None],
        lock: contextlib.AbstractContextManager[Any],
    ) -> None:
        super().__init__(map=map)
        self._socket_map = map
        self._near_end, self._far_end = smtpd_compat.socket.socketpair()
        self._near_end.setblocking(False)
        self.socket = self._near_end
        self._woken = woken
        #: Who writes has it: else a thread might write into a descriptor that has
        #: just been closed and is a client's already.
        self.lock = lock
        self.connected = True

    def enter(self) -> None:
        """Be in the socket map."""
        if select_cannot_hold(self._near_end, self._socket_map):
            raise OSError(errno.EMFILE, "no descriptor left that select can hold")
        self._fileno = self._near_end.fileno()
        self.add_channel()

    def leave(self) -> None:
        """Be in the socket map no more; stay open."""
        if self._socket_map.get(self._fileno) is self:
            self.del_channel()

    def wake(self) -> None:
        """End the loop's waiting; for any thread that has the lock."""
        try:
            self._far_end.send(b"\0")
        except OSError:  # closed
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
        self.connected = False
        self.leave()
        with self.lock:
            self._far_end.close()
        self._near_end.close()


def _came_of(call: _Call) -> tuple[Any, BaseException | None]:
    """What *call* returns, and what it raises."""
    try:
        return call(), None
    except BaseException as error:  # noqa: BLE001 - raised on the loop's thread
        return None, error


def _outcome(result: Any, error: BaseException | None) -> _Call:
    """A function that returns *result*, or raises *error*, which it does once.

    After that nothing here keeps the exception: its traceback keeps the function's
    frame, and a frame that kept the exception would keep both, and the message.
    """
    if error is None:
        return lambda: result
    errors = [error]

    def outcome() -> Any:
        raise errors.pop()

    return outcome


def _forget_parent() -> None:
    for pool in list(_pools):
        pool.forget_parent()


_pools: weakref.WeakSet[WorkerPool] = weakref.WeakSet()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent)
