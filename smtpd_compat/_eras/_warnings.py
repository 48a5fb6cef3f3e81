"""Telling authors, once, what to write instead of what they wrote for an older Python.

A warning says where: at the line that is being run, or at the definition of what is
called.  It never stops a conversation, whatever the filters make of warnings.
"""

from __future__ import annotations

import sys
import warnings
from contextlib import suppress
from functools import partial

import smtpd_compat

from ._arguments import code_of

TYPE_CHECKING = bool()
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

#: Packages through which a user's line leads here.
_NOT_THE_USERS = (smtpd_compat.__name__, "asyncore", "asynchat", "importlib")

_warned: set[str] = set()


def warn_of(thing: Any, message: str) -> None:
    """Warn once, as at the line where *thing* is defined; its name is the ``%s``."""
    while isinstance(thing, partial):
        thing = thing.func
    text = message % _name(thing)
    if text in _warned:
        return
    _warned.add(text)
    code = code_of(thing)
    if code is None:
        _warn_at_frame(text, _users_frame())
    else:
        module = getattr(thing, "__module__", None)
        _warn(text, code.co_filename, code.co_firstlineno, module)


def warn_at(thing: Any, message: str) -> None:
    """Warn once, as at the user's line that is being run; as above."""
    text = message % _name(thing)
    if text not in _warned:
        _warned.add(text)
        _warn_at_frame(text, _users_frame())


def warn_here(text: str) -> None:
    """Warn as at the user's line that is being run, each time, as 3.2 and later do."""
    _warn_at_frame(text, _users_frame())


def _warn_at_frame(text: str, frame: FrameType) -> None:
    names = frame.f_globals
    registry = names.setdefault("__warningregistry__", {})
    module = names.get("__name__")
    _warn(text, frame.f_code.co_filename, frame.f_lineno, module, registry)


def _users_frame() -> FrameType:
    """The innermost call that is neither in this package nor in asyncore's modules."""
    frame = sys._getframe(2)
    while frame.f_back is not None:
        package = str(frame.f_globals.get("__name__")).partition(".")[0]
        if package not in _NOT_THE_USERS:
            break
        frame = frame.f_back
    return frame


def _warn(
    text: str,
    filename: str,
    line: int,
    module: str | None,
    registry: dict[Any, Any] | None = None,
) -> None:
    category = DeprecationWarning
    module = module or filename  # for None, nothing would be shown
    try:
        warnings.warn_explicit(text, category, filename, line, module, registry)
    except Exception as error:  # noqa: BLE001 - or mail would be refused for it
        # Where a filter makes an error of it, it is only shown; where it cannot be
        # shown, it is lost.
        if isinstance(error, DeprecationWarning):
            with suppress(Exception):
                warnings.showwarning(text, category, filename, line)


def _name(thing: Any) -> str:
    if not hasattr(thing, "__qualname__"):
        thing = type(thing)
    module = getattr(thing, "__module__", None)
    return f"{module}.{thing.__qualname__}" if module else str(thing.__qualname__)
