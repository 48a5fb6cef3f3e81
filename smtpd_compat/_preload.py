"""What is imported when it is first needed.

A server imports this when it starts: once it runs, its program may have confined
itself (chroot), or become a user who cannot read the standard library.
"""

from __future__ import annotations

import inspect
import selectors
import traceback

from . import _loop
from ._connection import _workers

__all__ = ["_loop", "_workers", "inspect", "selectors", "traceback"]
