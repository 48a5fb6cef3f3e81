"""What a program of another era refuses, by the exception that it raises.

All wordings of Python's that are read for this are here, CPython's and PyPy's.
"""

from __future__ import annotations

import re
import traceback

TYPE_CHECKING = bool()
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType
    from typing import Any

#: What a TypeError says where bytes met text.
_MIXED = re.compile(
    r"\bbytes\b"
    r"|\bbuffer\b"  # PyPy: 'str' does not support the buffer interface
    r"|^string argument expected"  # io.StringIO
    r"|must be encoded before hashing|without an encoding"
    r"|arg must be None or str"  # "text".strip(b" ")
    r"|ord\(\) expected"  # of data[0]
)

#: What an AttributeError says; octets of bytes are int.
_LACKS = re.compile(r"'(bytes|str|int)' object has no attribute '(\w+)'")


_REFUSES_OPTIONS = re.compile(
    "keyword argument '(mail|rcpt)_options'|no keyword arg|unexpected keyword arguments"
)

#: How a function says that it does not take what it is called with.
_REFUSES_CALL = re.compile(
    r"([\w<>]+)\(\) (takes |got an unexpected keyword argument"
    r"|got \d+ unexpected keyword arguments)"
)


def refuses_options(error: TypeError) -> bool:
    """Whether *error* says that ``mail_options`` and ``rcpt_options`` are not taken."""
    return _REFUSES_OPTIONS.search(str(error)) is not None


def refuses_call(error: TypeError) -> str | None:
    """The name of the function that does not take what it is called with."""
    said = _REFUSES_CALL.search(str(error))
    return said[1] if said else None


def is_of_other_kind(error: BaseException, kind: type) -> bool:
    """Whether *error* says that something of *kind* is used as the other kind is.

    :param error: a TypeError or an AttributeError.
    :param kind: `bytes` or `str`.
    """
    if isinstance(error, TypeError):
        return _MIXED.search(str(error)) is not None
    lacks = _LACKS.search(str(error))
    if lacks is None:
        return False
    owners = ("str",) if kind is str else ("bytes", "int")
    other = bytes if kind is str else str
    return lacks[1] in owners and hasattr(other, lacks[2])


def blames(
    error: BaseException,
    given: bytes | str,
    own: Iterable[str],
    called_by: str,
    not_through: str | None = None,
) -> bool:
    """Whether *error*, which has been caught, says that *given* is of the wrong kind.

    It does not if it was raised in somebody else's code that was called with something
    else.

    :param own: the modules of those who were given it.
    :param called_by: the module that gave it.
    :param not_through: a package that calls others, which answer for themselves.
    """
    if not is_of_other_kind(error, type(given)):
        return False
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    while frames and _module(frames[0]) == called_by:
        del frames[0]
    modules = {*own, *map(_module, frames[:1])}
    is_about_it = was_own = True
    for frame in frames:
        if _module(frame).partition(".")[0] == not_through:
            return False
        is_own = _module(frame) in modules
        if was_own or not is_about_it:
            is_about_it = is_own or _was_called_with(frame, given)
        was_own = is_own
    return is_about_it


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__"))


_HAS_VARARGS, _HAS_VARKEYWORDS = 4, 8  # inspect.CO_VARARGS, CO_VARKEYWORDS


def _was_called_with(frame: FrameType, given: bytes | str) -> bool:
    code = frame.f_code
    count = code.co_argcount + code.co_kwonlyargcount
    count += bool(code.co_flags & _HAS_VARARGS) + bool(code.co_flags & _HAS_VARKEYWORDS)
    values = frame.f_locals
    text = given.lower()
    return any(
        _is_of(values.get(name), given, text) for name in code.co_varnames[:count]
    )


def _is_of(value: Any, given: Any, text: Any, depth: int = 3) -> bool:
    """Whether *value* is *given*, or a part of it, or has one.

    :param text: *given*, in lower case.
    """
    if isinstance(value, type(given)):
        value = value.lower()
        if value == text or (text and text in value):
            return True
        # A short str may be anything, a name of a codec or of a file.
        if isinstance(value, bytes):
            return value != b"" and value in text
        lines = {line for line in value.splitlines() if line.strip()}
        return not lines.isdisjoint(text.splitlines())
    if depth and isinstance(value, dict):
        value = tuple(value.values())
    if depth and isinstance(value, (list, tuple, set, frozenset)):
        return any(_is_of(item, given, text, depth - 1) for item in value)
    return False
