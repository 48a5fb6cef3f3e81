"""What is told to those who look on: the debug stream, asyncore's log, names in it."""

from __future__ import annotations

import smtpd_compat

TYPE_CHECKING = bool()
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, TypeVar

    _Public = TypeVar("_Public")


def public(thing: _Public) -> _Public:
    """Have a class or function say that it is of ``smtpd_compat``.

    Logs show that name, and pickles keep it.
    """
    named: Any = thing
    named.__module__ = "smtpd_compat"
    if "__firstlineno__" in vars(named):  # Python 3.13 and later
        # With it, inspect.getsource would show lines of that module's file.
        del named.__firstlineno__
    return thing


@public
class Devnull:
    """A text stream that forgets what is written to it."""

    def write(self, msg: str) -> None:
        """Drop *msg*."""

    def flush(self) -> None:
        """Do nothing."""


_WRITE = Devnull.write

#: A module with a __getattr__ takes longer to find its names.
_names = vars(smtpd_compat)


def tracing() -> bool:
    """Whether anything reads the debug stream; if not, nobody formats for it."""
    stream = _names["DEBUGSTREAM"]
    return stream.__class__ is not Devnull or Devnull.write is not _WRITE


def trace(*things: object) -> None:
    """Print *things* on the debug stream, with escapes where it lacks characters.

    Whoever looks on must not change what happens: what cannot be written is dropped.
    """
    ends = [" "] * (len(things) - 1) + ["\n"]
    try:
        for thing, end in zip(things, ends):
            try:
                print(thing, end=end, file=smtpd_compat.DEBUGSTREAM)
            except UnicodeEncodeError:
                print(ascii_only(thing), end=end, file=smtpd_compat.DEBUGSTREAM)
    except Exception:  # noqa: BLE001 - closed, full, broken, or a user's own stream
        pass


trace_if_possible = trace


def ascii_only(thing: object) -> str:
    """The text of *thing*, with escapes for all that is not ASCII."""
    return str(thing).encode("ascii", "backslashreplace").decode("ascii")


def raised_in(error: BaseException) -> FrameType:
    """The frame in which *error*, which has been caught, was raised."""
    trace = error.__traceback__
    assert trace is not None
    while trace.tb_next is not None:
        trace = trace.tb_next
    return trace.tb_frame


def log_caught(dispatcher: Any, outcome: str) -> None:
    """Log the exception being handled, by ``dispatcher.log_info``.

    The line has the form of ``asyncore.dispatcher.handle_error``'s, with *outcome*
    (what becomes of the dispatcher) in the place of its "closing".
    """
    _, kind, value, where = smtpd_compat.asyncore.compact_traceback()
    said = f"uncaptured python exception, {outcome} channel"
    try:
        line = f"{said} {dispatcher!r} ({kind}:{value} {where})"
    except Exception:  # noqa: BLE001 - a __repr__ or a __str__
        line = f"{said} {id(dispatcher):#x} ({kind} {where})"
    log_if_possible(dispatcher.log_info, line, "error")


def log_if_possible(log: Any, *arguments: str) -> None:
    """Call ``log(*arguments)``; a line that cannot be written is dropped.

    :param log: ``log`` or ``log_info`` of a dispatcher, perhaps a user's.
    """
    try:
        try:
            log(*arguments)
        except UnicodeEncodeError:
            log(ascii_only(arguments[0]), *arguments[1:])
    except (smtpd_compat.asyncore.ExitNow, KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # noqa: BLE001 - the log's end is not the server's
        pass


class LogsIfPossible:
    """For dispatchers: asyncore's log, where a line that cannot be written is dropped.

    asyncore itself logs in the middle of closing a connection, say.
    """

    def log(self, message: str) -> None:
        """Write *message* to standard error."""
        log_if_possible(super().log, message)  # type: ignore[misc]

    def log_info(self, message: str, type: str = "info") -> None:
        """Print *message* on standard output, after its *type*."""
        log_if_possible(super().log_info, message, type)  # type: ignore[misc]
