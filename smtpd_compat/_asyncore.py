"""asyncore and asynchat, from wherever this Python has them."""

from __future__ import annotations

import sys
import warnings
from types import FunctionType


def _how_to_mend(error: Exception) -> str:
    said = f"smtpd_compat needs asyncore and asynchat, which cannot be used: {error}"
    if sys.version_info < (3, 12):
        return f"{said}; is there an asyncore.py or asynchat.py of your own?"
    packages = "pyasyncore pyasynchat"
    return f"{said}; mend it with: pip install --force-reinstall {packages}"


TYPE_CHECKING = bool()
if TYPE_CHECKING:
    from typing import Any

    if sys.version_info >= (3, 12):
        from ._stubs import asynchat, asyncore
    else:
        import asynchat
        import asyncore
else:
    with warnings.catch_warnings():
        # The standard library's copies warn from 3.10 on; users of this package have
        # already acted on that warning.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            import asynchat
            import asyncore

            # A package that was removed halfway may leave an empty folder, which
            # imports.
            _ = asyncore.dispatcher, asynchat.async_chat
        except (ImportError, AttributeError) as error:
            raise ImportError(_how_to_mend(error)) from None

#: What leaves the loop, whoever raises it; asyncore has the same.
LEAVING: tuple[type[BaseException], ...]
LEAVING = asyncore.ExitNow, KeyboardInterrupt, SystemExit

__all__ = ["LEAVING", "asynchat", "asyncore", "is_asyncores", "stock_methods"]


def is_asyncores(function: Any) -> bool:
    """Whether *function* is asyncore's own, and was not patched in."""
    return getattr(function, "__globals__", None) is vars(asyncore)


def stock_methods(cls: type) -> frozenset[FunctionType]:
    """The methods of this package that instances of *cls* have."""
    package = __name__.rpartition(".")[0] + "."
    return frozenset(
        method
        for base in cls.__mro__
        for method in vars(base).values()
        # PyPy's object has functions, too, and they are of no module.
        if isinstance(method, FunctionType)
        and str(method.__module__).startswith(package)
    )
