"""The loop: asyncore's, with what the system has for many connections."""

from __future__ import annotations

import select
import sys

from smtpd_compat import asyncore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

#: The descriptors that select can hold (FD_SETSIZE); on Windows it counts sockets.
_SELECT_HOLDS = 512 if sys.platform == "win32" else 1024


def select_cannot_hold(conn: Any, map: dict[int, Any]) -> bool:
    """Whether the running loop is one on select, and *conn* is too much for it."""
    taken = len(map) if sys.platform == "win32" else conn.fileno()
    if taken < _SELECT_HOLDS:
        return False
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code is asyncore.poll.__code__:
            return True
        frame = frame.f_back
    return False


def loop(
    timeout: float = 30.0,
    use_poll: bool = False,
    map: dict[int, Any] | None = None,
    count: int | None = None,
) -> None:
    """Do what ``asyncore.loop`` does, with the same arguments."""
    asyncore.loop(timeout, hasattr(select, "poll"), map, count)
