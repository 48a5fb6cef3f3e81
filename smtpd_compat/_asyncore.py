"""asyncore and asynchat, from wherever this Python has them."""

from __future__ import annotations

import warnings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["asynchat", "asyncore", "is_asyncores"]

with warnings.catch_warnings():
    # The standard library's copies warn from 3.10 on; users of this package have
    # already acted on that warning.
    warnings.simplefilter("ignore", DeprecationWarning)
    import asynchat
    import asyncore


def is_asyncores(function: Any) -> bool:
    """Whether *function* is from one of these modules, and nobody has patched it in."""
    names = getattr(function, "__globals__", None)
    return names is vars(asyncore) or names is vars(asynchat)
