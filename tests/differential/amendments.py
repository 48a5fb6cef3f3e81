"""Where the original's channel breaks a standard, its documentation or old programs.

These are the amendments under rules 3 and 4 of fidelity, see `rules`.
"""

from __future__ import annotations

from typing import Any

from . import handlers, mailboxes
from .survivals import (
    AddressDies,
    CommandNotUtf8,
    CutCharacters,
    CutCharactersEnd,
    FailsLate,
    HandlerFails,
    NoLimit,
    ReplyNotAscii,
    Rule,
    SizeDies,
)


class _EchoedLineEnds(Rule):
    """CR and LF of the client are spelled out where a reply echoes them."""

    row = "CR and LF echoed in replies"
    number = 3

    def push(self, msg: Any) -> None:
        if isinstance(msg, str) and msg.startswith(
            ('500 Error: command "', "502 Could not VRFY ")
        ):
            echoed = msg.replace("\r", "\\r").replace("\n", "\\n")
            if echoed != msg:
                self.note(_EchoedLineEnds)
                msg = echoed
        super().push(msg)


class _EncodedWords(Rule):
    """An address is no header, and holds none."""

    row = mailboxes.ENCODED_WORDS
    number = 3


class _WhiteSpaceInADomain(Rule):
    """A domain without its white space is another one."""

    row = mailboxes.WHITE_SPACE
    number = 3


class _NeededQuotes(Rule):
    """An address that needs quotes means another mailbox without them, or none."""

    row = mailboxes.QUOTING
    number = 3


class Mailbox(Rule):
    """What these three change in the parser of addresses."""

    def _getaddr(self, arg: str) -> Any:
        answer, changes = mailboxes.answer(super()._getaddr, arg)
        for rule in OF_ADDRESSES:
            if rule.row in changes:
                self.note(rule)
        if answer is None:
            raise ValueError("no address")
        return answer


class _RefusedMail(Rule):
    """A MAIL that is refused leaves no options and no SMTPUTF8 behind."""

    row = "options of a refused MAIL"
    number = 3

    def smtp_MAIL(self, arg: Any) -> None:
        mailfrom = self.mailfrom
        before = self._options()
        super().smtp_MAIL(arg)
        if self.mailfrom == mailfrom and self._options() != before:
            self.note(_RefusedMail)
            self.mail_options, self.require_SMTPUTF8 = before

    def _options(self) -> tuple[list[str], bool]:
        return self.__dict__.get("mail_options", [])[:], self.require_SMTPUTF8


class _RcptOptions(Rule):
    """``rcpt_options`` is always empty."""

    row = "options of a refused RCPT"
    number = 3

    def smtp_RCPT(self, arg: Any) -> None:
        super().smtp_RCPT(arg)
        if self.__dict__.get("rcpt_options"):
            self.note(_RcptOptions)
            self.rcpt_options = []


class _OptionsReset(Rule):
    """The options go with their transaction."""

    row = "options left from the last transaction"
    number = 3

    def _set_post_data_state(self) -> None:
        super()._set_post_data_state()
        self._forget_options()

    def _set_rset_state(self) -> None:
        super()._set_rset_state()
        self._forget_options()

    def _forget_options(self) -> None:
        for name in ("mail_options", "rcpt_options"):
            if self.__dict__.get(name):
                self.note(_OptionsReset)
                setattr(self, name, [])


class _OptionsExist(Rule):
    """A program that overrides smtp_MAIL, smtp_RCPT need not set the options."""

    row = "options that were never set"
    number = 4

    def __getattr__(self, name: str) -> Any:
        if name in ("mail_options", "rcpt_options"):
            self.note(_OptionsExist)
            setattr(self, name, [])
            return getattr(self, name)
        raise AttributeError(name)


class _UnknownCommandsKept(Rule):
    """Unknown commands do not become keys of ``command_size_limits``."""

    row = "unknown commands in command_size_limits"
    number = 3

    def found_terminator(self) -> None:
        super().found_terminator()
        limits = self.command_size_limits
        for verb in list(limits):
            if not getattr(self, "smtp_" + verb, None):
                self.note(_UnknownCommandsKept)
                del limits[verb]


class _TooMuchMail(Rule):
    """After 552 at the end of the data the session is back at commands."""

    row = "after 552 Too much mail data"
    number = 3

    def push(self, msg: Any) -> None:
        if msg == "552 Error: Too much mail data" and self.smtp_state == self.DATA:
            self.note(_TooMuchMail)
            self.received_lines = []
            self.received_data = ""
            self._set_post_data_state()
        super().push(msg)


class _AfterQuit(Rule):
    """After QUIT nothing is acted on."""

    row = "after QUIT"
    number = 3

    _has_quit = False

    def close_when_done(self) -> None:
        super().close_when_done()
        self._has_quit = True
        if self.ac_in_buffer:
            self.note(_AfterQuit)
            self.ac_in_buffer = b""

    def recv(self, size: int) -> bytes:
        data: bytes = super().recv(size)
        if self._has_quit and data:
            self.note(_AfterQuit)
            return b""
        return data


class _EmptyMessage(Rule):
    """``.`` CRLF straight after DATA ends an empty message.

    The line end of DATA is the first half of CRLF.CRLF (RFC 5321, 4.1.1.4), so here it
    is put before the dot once more.
    """

    row = "an empty message"
    number = 3

    _fresh = False
    _held = b""

    def set_terminator(self, term: Any) -> None:
        super().set_terminator(term)
        self._fresh = term == b"\r\n.\r\n"
        if self._fresh:
            self.ac_in_buffer = self._with_line_end(self.ac_in_buffer)

    def recv(self, size: int) -> bytes:
        data: bytes = super().recv(size)
        return self._with_line_end(data) if self._fresh else data

    def _with_line_end(self, data: bytes) -> bytes:
        data = self._held + data
        self._held = b""
        if data == b".\r\n"[: len(data)] and len(data) < 3:
            if data:
                self.note(_EmptyMessage)
            self._held = data
            return b""
        self._fresh = False
        if data.startswith(b".\r\n"):
            self.note(_EmptyMessage)
            return b"\r\n" + data
        return data


class _LinesLeft(Rule):
    """What a handler leaves in received_lines is no start of the next command."""

    row = "received_lines left by a handler"
    number = 3

    def _set_post_data_state(self) -> None:
        super()._set_post_data_state()
        if getattr(self, "received_lines", None):
            self.note(_LinesLeft)
            self.received_lines = []


class _BytesPushed(Rule):
    """push takes byte strings, as in 2.7."""

    row = "push with bytes"
    number = 4

    def push(self, msg: Any) -> None:
        if isinstance(msg, bytes):
            self.note(_BytesPushed)
            msg = msg.decode("ascii")
        super().push(msg)


class _ParametersInOneString(Rule):
    """_getparams takes a string of them too, as in 3.3 and 3.4."""

    row = "_getparams with a string"
    number = 4

    def _getparams(self, params: Any) -> Any:
        if isinstance(params, str):
            self.note(_ParametersInOneString)
            params = params.split()
        return super()._getparams(params)


class _NoEightBit(Rule):
    """8BITMIME is not offered where the handler gets text, as with decode_data."""

    row = "8BITMIME where the handler gets text"
    number = 4

    def push(self, msg: Any) -> None:
        handler = isinstance(self.smtp_server, handlers.WITHOUT_OPTIONS)
        if msg == "250-8BITMIME" and handler:
            self.note(_NoEightBit)
        else:
            super().push(msg)


class _TextSent(Rule):
    """send takes text, as in 2.7."""

    row = "send with str"
    number = 4

    def send(self, data: Any) -> Any:
        if isinstance(data, str):
            self.note(_TextSent)
            data = data.encode("ascii", "backslashreplace")
        return super().send(data)


class _OwnGreetingExtends(Rule):
    """After an EHLO of a program's own that was accepted, MAIL takes parameters."""

    row = "parameters after an EHLO of one's own"
    number = 4

    _answer: Any = ""

    def smtp_EHLO(self, arg: Any) -> None:
        self._answer = ""
        super().smtp_EHLO(arg)
        if self.seen_greeting and not self.extended_smtp and self._answer[:1] == "2":
            self.note(_OwnGreetingExtends)
            self.extended_smtp = True

    def push(self, msg: Any) -> None:
        self._answer = msg
        super().push(msg)


class _SilentGreeting(Rule):
    """A greeting that is accepted counts, also if the program does not note it."""

    row = "a greeting that was not noted"
    number = 4

    def smtp_HELO(self, arg: Any) -> None:
        self._greet(super().smtp_HELO, arg, False)

    def smtp_EHLO(self, arg: Any) -> None:
        self._greet(super().smtp_EHLO, arg, True)

    def _greet(self, method: Any, arg: Any, extended: bool) -> None:
        self._said = ""
        method(arg)
        if not self.seen_greeting and self._said.startswith("2"):
            self.note(_SilentGreeting)
            self.seen_greeting = arg
            self.extended_smtp = extended

    def push(self, msg: Any) -> None:
        self._said = msg
        super().push(msg)


#: They stand between the original and the program's own class.  Where two amend the
#: same method, the first one is called first.
BELOW: tuple[type[Rule], ...] = (
    _UnknownCommandsKept,
    CommandNotUtf8,
    CutCharacters,
    ReplyNotAscii,
    _BytesPushed,
    _RefusedMail,
    SizeDies,
    _RcptOptions,
    AddressDies,
    _OptionsReset,
    _LinesLeft,
    _OptionsExist,
    _TextSent,
    _ParametersInOneString,
    _AfterQuit,
    _EmptyMessage,
)

#: Of addresses, by way of `Mailbox`.
OF_ADDRESSES: tuple[type[Rule], ...] = (
    _EncodedWords,
    _WhiteSpaceInADomain,
    _NeededQuotes,
)

#: They stand above the program's own class, which so is told less.
ABOVE: tuple[type[Rule], ...] = (
    FailsLate,
    HandlerFails,
    CutCharactersEnd,
    NoLimit,
    _EchoedLineEnds,
    _TooMuchMail,
    _NoEightBit,
    _OwnGreetingExtends,
    _SilentGreeting,
)
