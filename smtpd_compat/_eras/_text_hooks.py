"""Lines as text, which up to 3.5 they always were."""

from __future__ import annotations

import codecs
import re

import smtpd_compat

from .._tracing import raised_in
from ._warnings import warn_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .._connection._state import State

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


class TextLines:
    """Lines of `str`: with *decode_data*, and for hooks that were written for them.

    What an overridden found_terminator or collect_incoming_data was written for is
    seen when it fails on bytes.  Then it is called again with text, and gets text from
    then on.  All of its class does if no line of bytes has ever passed: otherwise the
    failure may be a mistake in code of today, on a branch that few clients see.
    """

    _emptystring: bytes | str = b""
    _linesep: bytes | str = b"\r\n"
    _dotsep: int | str = ord(b".")
    _newline: bytes | str = b"\n"

    _smtpd_decoder: Any = None
    _smtpd_hooks_take_text = False
    _smtpd_hooks_took_bytes = False

    # Provided by the channel
    if TYPE_CHECKING:
        received_lines: list[Any]
        num_bytes: int
        _smtpd_state: State
        collect_incoming_data: Callable[[Any], None]
        found_terminator: Callable[[], None]

        def _smtpd_has_stock_hooks(self) -> bool: ...
        def _smtpd_ungathered(self, work: Callable[[], object]) -> None: ...

    def _smtpd_give_piece(self, piece: bytes) -> None:
        """Call collect_incoming_data."""
        if self._smtpd_hooks_take_text:
            self._smtpd_keep_lines_as_text()
            self.collect_incoming_data(self._smtpd_decode(piece))
            return
        kept, counted = len(self.received_lines), self.num_bytes
        try:
            self.collect_incoming_data(piece)
        except TypeError as error:
            if not self._smtpd_fails_on_bytes(error):
                raise
            del self.received_lines[kept:]
            self.num_bytes = counted
            self.collect_incoming_data(self._smtpd_decode(piece))
            self._smtpd_give_text(self.collect_incoming_data)

    def _smtpd_end_piece(self) -> None:
        """Call found_terminator."""
        if self._smtpd_has_stock_hooks():
            self.found_terminator()
            return
        if self._smtpd_hooks_take_text:
            rest = self._smtpd_decode(b"", final=True)
            if rest:
                self.collect_incoming_data(rest)
        self._smtpd_ungathered(self._smtpd_found_terminator_of_old)

    def _smtpd_found_terminator_of_old(self) -> None:
        lines = self.received_lines
        self._smtpd_state.last_output = b""
        try:
            self.found_terminator()
        except TypeError as error:
            if not self._smtpd_fails_on_bytes(error):
                raise
            answered = self._smtpd_state.last_output or self._smtpd_state.awaits_answer
            if not answered:
                self.received_lines = lines
            self._smtpd_decode_lists()
            if not answered:
                self.found_terminator()
            self._smtpd_give_text(self.found_terminator)
            return
        if not (self._smtpd_hooks_took_bytes or self._smtpd_hooks_take_text):
            self._smtpd_remember("_smtpd_hooks_took_bytes")

    def _smtpd_fails_on_bytes(self, error: TypeError) -> bool:
        """Whether *error* was raised in a hook itself, not in what the hook calls."""
        if self._smtpd_hooks_take_text or not _WANTS_TEXT.search(str(error)):
            return False
        hook = raised_in(error).f_code.co_name
        return hook in ("found_terminator", "collect_incoming_data")

    def _smtpd_decode_lists(self) -> None:
        """Have text in received_lines, and where else a subclass keeps its lines."""
        for value in vars(self).values():
            if isinstance(value, list) and all(isinstance(v, bytes) for v in value):
                value[:] = [piece.decode("utf-8", "surrogateescape") for piece in value]

    def _smtpd_give_text(self, hook: Any) -> None:
        if self._smtpd_hooks_took_bytes or hook.__name__ in vars(self):
            self._smtpd_hooks_take_text = True
        else:
            self._smtpd_remember("_smtpd_hooks_take_text")
        self._smtpd_keep_lines_as_text()
        warn_of(
            hook,
            "%s takes what it is given for str, as up to Python 3.5; lines are bytes,"
            " so join them with b''",
        )

    def _smtpd_remember(self, finding: str) -> None:
        """Keep what has been seen of the hooks; for the class, unless it is ours."""
        is_ours = type(self).__module__ == smtpd_compat.__name__  # and was patched
        setattr(self if is_ours else type(self), finding, True)

    def _smtpd_keep_lines_as_text(self) -> None:
        self._emptystring = ""
        self._linesep = "\r\n"
        self._dotsep = "."
        self._newline = "\n"

    def _smtpd_joined_lines(self) -> bytes | str:
        pieces = self.received_lines
        if self._emptystring == b"":
            try:
                return b"".join(pieces)
            except TypeError:  # an overridden collect_incoming_data decoded them
                pass
        text = "".join(
            piece if isinstance(piece, str) else self._smtpd_decode(piece)
            for piece in pieces
        )
        return text + self._smtpd_decode(b"", final=True)

    def _smtpd_decode(self, data: bytes, final: bool = False) -> str:
        """Decode UTF-8 cut anywhere; octets that are none become lone surrogates."""
        if self._smtpd_decoder is None:
            self._smtpd_decoder = codecs.getincrementaldecoder("utf-8")(
                "surrogateescape"
            )
        return self._smtpd_decoder.decode(data, final)  # type: ignore[no-any-return]
