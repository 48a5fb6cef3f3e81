"""Greetings of a program's own, which up to 3.2 counted when they were accepted."""

from __future__ import annotations

import sys
from types import FunctionType

from ._arguments import code_of
from ._warnings import warn_of

TYPE_CHECKING = bool()
if TYPE_CHECKING:
    from collections.abc import Container
    from types import CodeType, FrameType
    from typing import Any

#: LHLO is the EHLO of LMTP (RFC 2033); here all LHLOs are a program's own.
VERBS = ("HELO", "EHLO", "LHLO")
_NAMES = tuple((verb, "smtp_" + verb) for verb in VERBS)


def own_greetings(channel: Any, stock: Container[Any]) -> dict[str, Any]:
    """The greetings of *channel* that are not ours, by verb."""
    found = {}
    own, cls = vars(channel), type(channel)
    for verb, name in _NAMES:
        # Asks no __getattr__, which may need what is not there yet.
        method = own.get(name) or getattr(cls, name, None)
        if method is None or (type(method) is FunctionType and method in stock):
            continue
        found[verb] = method
    return found


def answering(greetings: dict[str, Any]) -> tuple[str, str] | None:
    """Which of *greetings* the reply comes from that is being pushed, if any.

    Returns its verb, and what the client calls itself.
    """
    frame: FrameType | None = sys._getframe(2)
    codes = {verb: code_of(greeting) for verb, greeting in greetings.items()}
    while frame is not None:
        for verb, code in codes.items():
            if frame.f_code is code and _is_call_of(greetings[verb], frame):
                names = frame.f_code.co_varnames[: frame.f_code.co_argcount]
                name = frame.f_locals.get(names[-1]) if names else None
                return verb, name if isinstance(name, str) and name else verb
        frame = frame.f_back
    return None


def _is_call_of(greeting: Any, frame: FrameType) -> bool:
    """Whether *frame* is of *greeting*, and not of another that is decorated alike."""
    cells = getattr(greeting, "__closure__", None) or ()
    names = frame.f_code.co_freevars
    return all(
        frame.f_locals.get(name) is cell.cell_contents
        for name, cell in zip(names, cells)
    )


def note(channel: Any, verb: str, name: str) -> None:
    """Note a greeting that was accepted, as far as its author has not.

    :param name: what the client calls itself.
    """
    greeting = getattr(channel, "smtp_" + verb)
    if not channel.seen_greeting:
        warn_of(
            greeting,
            "%s accepts a greeting and does not note it; set self.seen_greeting, and"
            " for EHLO self.extended_smtp",
        )
        channel.seen_greeting = name
    if verb != "HELO" and not channel.extended_smtp:
        code: CodeType | None = code_of(greeting)
        # One that assigns it, and left it false, says so itself.
        if code is None or "extended_smtp" not in code.co_names:
            channel.extended_smtp = True
