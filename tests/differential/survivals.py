"""Where the original's channel dies of what a client sends: what it is to say instead.

These are the amendments under rule 2 of fidelity, see `rules`.
"""

from __future__ import annotations

import codecs
import sys
from types import FrameType
from typing import Any

from . import channels, handlers
from .sessions import Transcript

_utf8_decoder = codecs.getincrementaldecoder("utf-8")


#: Amendments are mixed into classes of the original, and count on all that those have.
_Original: Any = object


class Rule(_Original):  # type: ignore[misc]
    """What amendments have in common."""

    transcript: Transcript
    # Of the original's channel
    ac_in_buffer: bytes
    mail_options: list[str]
    num_bytes: int
    received_data: Any
    rcpt_options: list[str]
    received_lines: list[Any]
    seen_greeting: str

    #: The name of the rule: that of its row in docs/differences.md.
    row = ""
    #: The rule of fidelity that the row stands under.
    number = 0

    def note(self, rule: type[Rule]) -> None:
        """*rule* has changed what the original does."""
        if rule.row not in self.transcript.rules:
            self.transcript.rules.append(rule.row)


class CommandNotUtf8(Rule):
    """The line is answered with 500; the original dies of a UnicodeDecodeError."""

    row = "a command that is not UTF-8"
    number = 2

    def found_terminator(self) -> None:
        try:
            super().found_terminator()
        except UnicodeDecodeError:
            if self.smtp_state != self.COMMAND:
                raise
            self.note(CommandNotUtf8)
            self.received_lines = []
            self.num_bytes = 0
            self.push("500 Error: bad syntax")


class CutCharacters(Rule):
    """With decode_data, characters may be cut; the original dies at the cut.

    Octets that are not UTF-8 at all are answered when the line, or the message, is
    complete.
    """

    row = "decode_data: cut characters and invalid UTF-8"
    number = 2

    _decoder: Any = None
    _was_cut = False

    def collect_incoming_data(self, data: bytes) -> None:
        pieces = len(self.received_lines)
        try:
            super().collect_incoming_data(data)
        except UnicodeDecodeError:
            self.note(CutCharacters)
            self._was_cut = True
            if self._decoder is None:
                self._decoder = _utf8_decoder("surrogateescape")
        else:
            if self._decoder is None or len(self.received_lines) == pieces:
                return
            self.received_lines.pop()
        self.received_lines.append(self._decoder.decode(data))

    def found_terminator(self) -> None:
        if not self._was_cut:
            super().found_terminator()
            return
        text = "".join(self.received_lines)
        self.received_lines = [text]
        limit = self.data_size_limit
        too_much = self.smtp_state == self.DATA and limit and self.num_bytes > limit
        of_use = self.smtp_state in (self.COMMAND, self.DATA) and not too_much
        try:
            # Characters that were cut are whole again here.
            text.encode("utf-8", "surrogateescape").decode("utf-8")
        except UnicodeDecodeError:
            if of_use:
                print("Data:", repr(text), file=_debugstream())
                self._refuse()
                return
        super().found_terminator()

    def _refuse(self) -> None:
        self.received_lines = []
        if self.smtp_state == self.COMMAND:
            self.num_bytes = 0
            self.push("500 Error: bad syntax")
        else:
            self.received_data = ""
            self._set_post_data_state()
            self.push("554 Error: message is not valid UTF-8")


class NoLimit(Rule):
    """None is no limit, as 0; the original compares a number with it."""

    row = "command_size_limit = None"
    number = 2

    command_size_limit: int | None

    def found_terminator(self) -> None:
        if self.command_size_limit is not None or self.extended_smtp:
            super().found_terminator()
            return
        self.note(NoLimit)
        self.command_size_limit = 0
        try:
            super().found_terminator()
        finally:
            del self.command_size_limit


class CutCharactersEnd(Rule):
    """Half a character at the end of a line is no part of the next one.

    Also where the program acts on the line itself.
    """

    row = CutCharacters.row
    number = 2

    _decoder: Any
    _was_cut: bool

    def found_terminator(self) -> None:
        if self._decoder is not None:
            rest = self._decoder.decode(b"", True)
            self._decoder = None
            if rest:
                self.received_lines.append(rest)
        try:
            super().found_terminator()
        finally:
            self._was_cut = False


class ReplyNotAscii(Rule):
    """What a reply cannot carry is escaped; the original dies in push."""

    row = "a reply that is not ASCII"
    number = 2

    def push(self, msg: Any) -> None:
        if isinstance(msg, str):
            encoding = "utf-8" if self.require_SMTPUTF8 else "ascii"
            escaped = msg.encode(encoding, "backslashreplace").decode(encoding)
            if escaped != msg:
                self.note(ReplyNotAscii)
                msg = escaped
        super().push(msg)


class AddressDies(Rule):
    """What the original's parser dies of is no address."""

    row = "an address that the original dies on"
    number = 2

    def _getaddr(self, arg: str) -> Any:
        try:
            return super()._getaddr(arg)
        except Exception:  # noqa: BLE001 - of many kinds
            self.note(AddressDies)
            return "", ""


class SizeDies(Rule):
    """SIZE without a value, or with digits that int does not take, is bad syntax."""

    row = "SIZE that is no number"
    number = 2

    def smtp_MAIL(self, arg: Any) -> None:
        try:
            super().smtp_MAIL(arg)
        except (AttributeError, ValueError):
            self.note(SizeDies)
            more = " [SP <mail-parameters>]" if self.extended_smtp else ""
            self.push("501 Syntax: MAIL FROM: <address>" + more)


class HandlerFails(Rule):
    """A handler that raises, or returns what is no text, is answered with 451."""

    row = "a handler that fails"
    number = 2

    _failed = False
    #: Whether the client has been told something since the last line or message.
    told = False

    def push(self, msg: Any) -> None:
        super().push(msg)
        self.told = True

    def found_terminator(self) -> None:
        self.told = False
        try:
            super().found_terminator()
        except Exception as error:
            if isinstance(error, handlers.ExitNow) or not _is_programs(error):
                raise
            if self.told:
                raise  # for FailsLate
            self.note(HandlerFails)
            if "handle_error" in _overridden(self):
                # It is asked first, and may have a reply of its own.
                self._failed = True
                raise
            self.received_lines = []
            self._set_post_data_state()
            self.push("451 Error: local error in processing")

    def readable(self) -> Any:
        if self._failed:
            self._failed = False
            self.received_lines = []
            self._set_post_data_state()
            self._read_nothing = True
            try:
                self.handle_read()
            except handlers.ExitNow:
                raise
            except Exception:  # noqa: BLE001 - as asyncore does
                self.handle_error()
        return super().readable()

    _read_nothing = False

    def recv(self, size: int) -> Any:
        if self._read_nothing:
            self._read_nothing = False
            return b""
        return super().recv(size)


class FailsLate(Rule):
    """Who fails after a reply gives no second one, but takes leave."""

    row = "a command or a hook that fails after its reply"
    number = 2

    told: bool
    _failed_late = False

    def found_terminator(self) -> None:
        try:
            super().found_terminator()
        except Exception as error:
            if isinstance(error, handlers.ExitNow) or not _is_programs(error):
                raise
            if not self.told:
                raise  # see HandlerFails
            self.note(FailsLate)
            self.told = False
            if "handle_error" in _overridden(self):
                self._failed_late = True
                raise
            self._take_leave()

    def readable(self) -> Any:
        if self._failed_late:
            self._failed_late = False
            self._take_leave()
        return super().readable()

    def _take_leave(self) -> None:
        if not self.told:
            self.push("421 Error: local error in processing, closing connection")
        self.close_when_done()


def _debugstream() -> Any:
    return sys.modules["smtpd"].DEBUGSTREAM


def _overridden(channel: Any) -> list[str]:
    names: list[str] = []
    for cls in type(channel).__mro__:
        if cls.__module__ == channels.__name__:
            names.extend(vars(cls))
    return names


def raised_in(error: BaseException) -> FrameType:
    """The frame in which *error* was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    assert trace is not None
    return trace.tb_frame


def _is_programs(error: Exception) -> bool:
    """Whether *error* comes from the program that the server is part of."""
    code = raised_in(error).f_code
    if code.co_filename in (channels.__file__, handlers.__file__):
        return True
    return code.co_name in ("process_message", "push", "write")
