"""How the command line stops: what is in hand is answered first.

The first SIGTERM or Ctrl-C closes the listening sockets and takes leave of the clients,
but for those whose message is being handled: they hear its reply before.  The second
one ends the process at once.
"""

from __future__ import annotations

import _thread
import os
import signal
import time
from contextlib import suppress

import smtpd_compat

from ._channel import SMTPChannel
from ._loop import interrupt
from ._settings import setting

TYPE_CHECKING = bool()
if TYPE_CHECKING:
    from typing import Any

#: Seconds that a stop may take, where the server's class says nothing of it.
_STOP_TIMEOUT = 10.0

#: Seconds more after which the process ends though the loop's thread is still busy.
_GRACE = 1.0


def serve(server: Any) -> None:
    """Run the loop until it ends by itself, or a signal asks for the end."""
    limit = setting(server, "stop_timeout")
    stop = _Stop(_STOP_TIMEOUT if limit is None else limit)
    stop.listen()
    try:
        smtpd_compat.loop()
    except KeyboardInterrupt:
        if stop.is_asked_for:
            stop.finish()


class _Stop:
    """A stop that takes at most *seconds*."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        # A shell starts what is to run in the background with SIGINT ignored.
        self._signals = [
            signum
            for signum in (signal.SIGINT, signal.SIGTERM)
            if signal.getsignal(signum) is not signal.SIG_IGN
        ]
        self.is_asked_for = False
        self._is_over = False

    def listen(self) -> None:
        """Wait for a signal."""
        for signum in self._signals:
            signal.signal(signum, self._asked)

    def _asked(self, signum: int, frame: object) -> None:
        if self.is_asked_for:
            signal.signal(signum, signal.SIG_DFL)
            signal.raise_signal(signum)
        self.is_asked_for = True
        with suppress(RuntimeError, MemoryError):  # no thread left
            # What `threading` does more takes a lock, which the code that was
            # interrupted may have.
            _thread.start_new_thread(self._wait, ())
        interrupt()

    def _wait(self) -> None:
        """End the process although the loop's thread is in a handler that blocks."""
        time.sleep(self._seconds + _GRACE)
        if not self._is_over:
            os._exit(0)

    def finish(self) -> None:
        """Answer what is in hand, and take leave of everybody."""
        map = smtpd_compat.asyncore.socket_map
        deadline = time.monotonic() + self._seconds
        for dispatcher in list(map.values()):
            if dispatcher.accepting:
                with suppress(Exception):  # of a close of somebody's own
                    dispatcher.close()
        while True:
            channels = [c for c in list(map.values()) if isinstance(c, SMTPChannel)]
            for channel in channels:
                channel._smtpd.take_leave(channel)
            remaining = deadline - time.monotonic()
            if not channels or remaining <= 0:
                break
            smtpd_compat.loop(timeout=remaining, map=map, count=1)
        self._is_over = True
