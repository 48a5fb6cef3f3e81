"""The hooks of asynchat, called with bytes, or with text if they were written for it.

What an overridden found_terminator or collect_incoming_data was written for is seen
when it fails on bytes.  Then it is called again with text, and gets text from then on.
All of its class does if no line of bytes has ever passed: otherwise the failure may be
a mistake in code of today, on a branch that few clients see.
"""

from __future__ import annotations

import codecs
import re
from functools import partial

import smtpd_compat

from .._connection._stream import WORKER
from .._tracing import raised_in
from ._warnings import warn_of

TYPE_CHECKING = bool()
if TYPE_CHECKING:
    from typing import Any

    from .._channel import SMTPChannel
    from .._connection._session import Session

#: What Python says where bytes are used as a str is.
_WANTS_TEXT = re.compile(
    r"expected str instance, bytes found"
    r"|can only concatenate str .*\"bytes\""
    r"|can't concat str to bytes"
    r"|a bytes-like object is required, not 'str'"
    r"|must be bytes or a tuple of bytes, not str"
    r"|should be integer or bytes-like object, not 'str'"
    r"|cannot use a string pattern on a bytes-like object"
)


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
    try:
        channel.collect_incoming_data(piece)
    except TypeError as error:
        if not _fails_on_bytes(channel, error):
            raise
        del channel.received_lines[kept:]
        channel.num_bytes = counted
        channel.collect_incoming_data(decode(session, piece))
        _give_text(channel, channel.collect_incoming_data)


def _end(session: Session, channel: SMTPChannel) -> None:
    lines = channel.received_lines
    try:
        channel.found_terminator()
    except TypeError as error:
        if not _fails_on_bytes(channel, error):
            raise
        answered = session.last_pushed or session.hold is WORKER
        if not answered:
            channel.received_lines = lines
        _decode_lists(channel)
        if not answered:
            channel.found_terminator()
        _give_text(channel, channel.found_terminator)
        return
    if not (channel._smtpd_hooks_took_bytes or channel._smtpd_hooks_take_text):
        _remember(channel, "_smtpd_hooks_took_bytes")


def _fails_on_bytes(channel: SMTPChannel, error: TypeError) -> bool:
    """Whether *error* was raised in a hook itself, not in what the hook calls."""
    if channel._smtpd_hooks_take_text or not _WANTS_TEXT.search(str(error)):
        return False
    hook = raised_in(error).f_code.co_name
    return hook in ("found_terminator", "collect_incoming_data")


def _decode_lists(channel: SMTPChannel) -> None:
    """Have text in received_lines, and where else a subclass keeps its lines."""
    for value in vars(channel).values():
        if isinstance(value, list) and all(isinstance(v, bytes) for v in value):
            value[:] = [piece.decode("utf-8", "surrogateescape") for piece in value]


def _give_text(channel: SMTPChannel, hook: Any) -> None:
    if channel._smtpd_hooks_took_bytes or hook.__name__ in vars(channel):
        channel._smtpd_hooks_take_text = True
    else:
        _remember(channel, "_smtpd_hooks_take_text")
    keep_lines_as_text(channel)
    warn_of(
        hook,
        "%s takes what it is given for str, as up to Python 3.5; lines are bytes,"
        " so join them with b''",
    )


def _remember(channel: SMTPChannel, finding: str) -> None:
    """Keep what has been seen of the hooks; for the class, unless it is ours."""
    is_ours = type(channel).__module__ == smtpd_compat.__name__  # and was patched
    setattr(channel if is_ours else type(channel), finding, True)


def keep_lines_as_text(channel: SMTPChannel) -> None:
    """Have the channel's own hooks keep lines as text, as with *decode_data*."""
    channel._emptystring = ""
    channel._linesep = "\r\n"
    channel._dotsep = "."
    channel._newline = "\n"


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
