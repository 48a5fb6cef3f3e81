"""asyncore and asynchat, from wherever this Python has them."""

from __future__ import annotations

import warnings

__all__ = ["asynchat", "asyncore"]

with warnings.catch_warnings():
    # The standard library's copies warn from 3.10 on; users of this package have
    # already acted on that warning.
    warnings.simplefilter("ignore", DeprecationWarning)
    import asynchat
    import asyncore
