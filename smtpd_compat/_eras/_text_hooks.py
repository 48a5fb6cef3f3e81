"""The hooks of asynchat, called with bytes, or with text if they were written for it.

What an overridden found_terminator or collect_incoming_data was written for is seen
when it fails on bytes, or reads a line by a name of the time when lines were text.
Then it is called again with text, and gets text from then on.  All of its class does if
no line of bytes has ever passed: otherwise the failure may be a mistake in code of
today, on a branch that few clients see.
"""

from __future__ import annotations

import codecs
from functools import partial

import smtpd_compat

from .._connection._stream import WORKER
from ._refusals import blames
from ._warnings import warn_of

TYPE_CHECKING = bool()
if TYPE_CHECKING:
    from typing import Any

    from .._channel import SMTPChannel
    from .._connection._session import Session


def call(
    session: Session, channel: Any, piece: bytes, ends: bool, are_stock: bool
) -> None:
    """Call collect_incoming_data and, if the terminator has come, found_terminator.

    :param are_stock: whether the hooks are those of this package.
    """
    if piece:
        session.is_collecting = True
        _collect(session, channel, piece)
        session.is_collecting = False
    if not ends:
        return
    if are_stock:
        channel.found_terminator()
        return
    if session.decoder is not None:
        # Half a character at the end of a line is no part of the next one.
        rest = decode(session, b"", final=True)
        if rest and channel._smtpd_hooks_take_text:
            channel.collect_incoming_data(rest)
        elif rest:
            channel.received_lines.append(rest)
    session.run_uncorked(channel, partial(_end, session, channel))


def _collect(session: Session, channel: Any, piece: bytes) -> None:
    if channel._smtpd_hooks_take_text:
        keep_lines_as_text(channel)
        channel.collect_incoming_data(decode(session, piece))
        return
    kept, counted = len(channel.received_lines), channel.num_bytes
    session.hook = channel.collect_incoming_data
    try:
        channel.collect_incoming_data(piece)
    except (TypeError, AttributeError) as error:
        if not _is_refused(channel, error, piece):
            raise
        del channel.received_lines[kept:]
        channel.num_bytes = counted
        channel.collect_incoming_data(decode(session, piece))
        _give_text(channel, session.hook)
    finally:
        session.hook = None
    if channel._smtpd_hooks_take_text:  # since it has read a line by its old name
        _decode_lists(session, channel)


def _end(session: Session, channel: SMTPChannel) -> None:
    lines = channel.received_lines
    session.hook = hook = channel.found_terminator
    try:
        hook()
    except (TypeError, AttributeError) as error:
        wanted = _wanted_kind(channel, error, lines)
        if wanted is None:
            raise
        answered = session.last_pushed or session.hold is WORKER
        if not answered:
            channel.received_lines = lines
        if wanted is str:
            _decode_lists(session, channel)
        else:
            _take_text_back(session, channel)
        if not answered:
            channel.found_terminator()
        if wanted is str:
            _give_text(channel, hook)
    finally:
        session.hook = None
        session.text_lists.clear()
    if session.accepted is not None:
        session.note_greeting(channel)
    if not (channel._smtpd_hooks_took_bytes or channel._smtpd_hooks_take_text):
        _remember(channel, "_smtpd_hooks_took_bytes", True)


def read_by_old_name(channel: Any) -> None:
    """Give text to a hook that reads ``_SMTPChannel__line``, of the time of text.

    For it may never say that it wants text: it may compare, or swallow the exception.
    One that says then that it wants bytes gets them again, for good.
    """
    session = channel.__dict__.get("_smtpd")
    if session is None or session.hook is None or channel._smtpd_hooks_take_text:
        return
    # A collector of its own may have decoded what it has kept there.
    has_bytes = any(isinstance(piece, bytes) for piece in channel.received_lines)
    if has_bytes and channel._smtpd_old_name_is_text is not False:
        _remember(channel, "_smtpd_old_name_is_text", True)
        _decode_lists(session, channel)
        _give_text(channel, session.hook)


def _wanted_kind(channel: Any, error: BaseException, lines: list[Any]) -> type | None:
    """What found_terminator wants, if *error* says that it is not what it was given."""
    given = str if channel._smtpd_hooks_take_text else bytes
    if given is str and not channel._smtpd_old_name_is_text:
        return None
    lists = [value for value in vars(channel).values() if isinstance(value, list)]
    pieces = [p for pieces in [lines, *lists] for p in pieces if isinstance(p, given)]
    if not _is_refused(channel, error, given().join(pieces)):  # type: ignore[arg-type]
        return None
    return bytes if given is str else str


def _is_refused(channel: Any, error: BaseException, given: bytes | str) -> bool:
    """Whether *error* says that a hook wants the other kind than *given*.

    What our own hooks call in their turn fails for reasons of its own.
    """
    own = [cls.__module__ for cls in type(channel).__mro__]
    package = smtpd_compat.__name__
    return blames(error, given, own, called_by=__name__, not_through=package)


def _decode_lists(session: Session, channel: Any) -> None:
    """Have text in received_lines, and where else a subclass keeps its lines."""
    line = b"".join(p for p in channel.received_lines if isinstance(p, bytes))
    for name, value in list(vars(channel).items()):
        if isinstance(value, bytes) and value and value in line:
            setattr(channel, name, _as_text(value))
        # The hook may have added a piece since the others were decoded.
        is_known = any(value is known for known in session.text_lists)
        if is_known or (isinstance(value, list) and {*map(type, value)} == {bytes}):
            value[:] = [_as_text(piece) for piece in value]
            session.text_lists.append(value)


def _as_text(piece: Any) -> Any:
    return piece.decode("utf-8", "surrogateescape") if type(piece) is bytes else piece


def _take_text_back(session: Session, channel: Any) -> None:
    for value in session.text_lists:
        for index, piece in enumerate(value):
            if isinstance(piece, str):
                value[index] = piece.encode("utf-8", "surrogateescape")
    _remember(channel, "_smtpd_old_name_is_text", False)
    _remember(channel, "_smtpd_hooks_take_text", False)
    for name in (*_AS_TEXT, "_smtpd_hooks_take_text"):
        vars(channel).pop(name, None)


def _give_text(channel: SMTPChannel, hook: Any) -> None:
    if channel._smtpd_hooks_took_bytes or hook.__name__ in vars(channel):
        channel._smtpd_hooks_take_text = True
    else:
        _remember(channel, "_smtpd_hooks_take_text", True)
    keep_lines_as_text(channel)
    warn_of(
        hook,
        "%s takes what it is given for str, as up to Python 3.5; lines are bytes,"
        " so join them with b''",
    )


def _remember(channel: Any, finding: str, value: bool) -> None:
    """Keep what has been seen of the hooks; for the class, unless it is ours."""
    is_ours = type(channel).__module__ == smtpd_compat.__name__  # and was patched
    setattr(channel if is_ours else type(channel), finding, value)


_AS_TEXT = {"_emptystring": "", "_linesep": "\r\n", "_dotsep": ".", "_newline": "\n"}


def keep_lines_as_text(channel: SMTPChannel) -> None:
    """Have the channel's own hooks keep lines as text, as with *decode_data*."""
    for name, value in _AS_TEXT.items():
        setattr(channel, name, value)


def joined_lines(session: Session, channel: SMTPChannel) -> bytes | str:
    """What was collected, as it was collected: bytes or text."""
    pieces = channel.received_lines
    if channel._emptystring == b"":
        try:
            return b"".join(pieces)
        except TypeError:  # an overridden collect_incoming_data decoded them
            pass
    text = "".join(
        piece if isinstance(piece, str) else decode(session, piece) for piece in pieces
    )
    return text + decode(session, b"", final=True)


def decode(session: Session, data: bytes, final: bool = False) -> str:
    """Decode UTF-8 cut anywhere; octets that are none become lone surrogates."""
    if session.decoder is None:
        session.decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    return session.decoder.decode(data, final)  # type: ignore[no-any-return]
