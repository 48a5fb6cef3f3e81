"""The SMTP commands and their replies (RFC 5321, section 4.1).

One method for each command, in the order of a session.  A channel calls
``smtp_VERB(argument)``; the argument is a `str`, or None if the line is the verb alone.
"""

# What programs override takes Any, here and in SMTPServer: they annotate it with `str`,
# as typeshed does for smtpd, or with the whole truth, and mypy is to accept both.

from __future__ import annotations

import collections
import re

from ._eras._calls import takes_text
from ._settings import setting
from ._text._addresses import AddressError, parse_address
from ._tracing import trace, tracing

TYPE_CHECKING = bool()
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ._connection._session import Session

#: What SIZE and SMTPUTF8 add to the longest MAIL command (RFC 1870, section 3;
#: RFC 6531, section 3.4).
_SIZE_ADDS = 26
_SMTPUTF8_ADDS = 10

_SYNTAX = {
    "EHLO": "EHLO hostname",
    "HELO": "HELO hostname",
    "MAIL": "MAIL FROM: <address>",
    "RCPT": "RCPT TO: <address>",
    "DATA": "DATA",
    "RSET": "RSET",
    "NOOP": "NOOP",
    "QUIT": "QUIT",
    "VRFY": "VRFY <address>",
}
_HELPED = " ".join(_SYNTAX)
_TAKES_PARAMETERS = ("MAIL", "RCPT")
#: As `str.split` parts them on CPython; PyPy's leaves FS, GS, RS and US in.
_WORDS = re.compile(r"\S+")
_PARAMETERS_HINT = " [SP <mail-parameters>]"


class Commands:
    """The commands that a channel knows, and the transaction they build up."""

    # Provided by the channel
    COMMAND: int
    DATA: int
    smtp_server: Any
    fqdn: str
    data_size_limit: int | Any
    enable_SMTPUTF8: bool
    _decode_data: bool
    _smtpd: Session

    # Documented in SMTPChannel
    seen_greeting: str
    extended_smtp: bool
    require_SMTPUTF8: bool
    mailfrom: str | Any
    rcpttos: list[str]
    mail_options: list[str]
    rcpt_options: list[str]
    smtp_state: int
    num_bytes: int

    if TYPE_CHECKING:

        def push(self, msg: Any) -> None: ...
        def set_terminator(self, term: bytes | str | int | None) -> None: ...
        def close_when_done(self) -> None: ...
        def _set_rset_state(self) -> None: ...

    #: Octets that a command line may have (RFC 5321, 4.5.3.1.4), and the same for
    #: each command of a session that began with EHLO.  Every channel has its own copy.
    command_size_limit: int = 512
    command_size_limits: collections.defaultdict[str, int] = collections.defaultdict(  # noqa: RUF012
        lambda: 512
    )

    @property
    def max_command_size_limit(self) -> int:
        """The greatest of the command size limits, in octets."""
        limits = self.command_size_limits
        return max(limits.values()) if limits else self.command_size_limit

    # Session

    def smtp_HELO(self, arg: Any) -> None:
        """Greet, in base command mode (RFC 5321, 4.1.1.1)."""
        if not arg:
            self.push(self._smtpd_syntax("HELO"))
        elif self.seen_greeting:
            self.push("503 Duplicate HELO/EHLO")
        else:
            self._set_rset_state()
            self.seen_greeting = arg
            self.push(f"250 {self.fqdn}")

    def smtp_EHLO(self, arg: Any) -> None:
        """Greet, and list the extensions (RFC 5321, 4.1.1.1)."""
        if not arg:
            self.push(self._smtpd_syntax("EHLO"))
        elif self.seen_greeting:
            self.push("503 Duplicate HELO/EHLO")
        else:
            self._set_rset_state()
            self.seen_greeting = arg
            self.extended_smtp = True
            self.push(f"250-{self.fqdn}")
            if self.data_size_limit:
                self.push(f"250-SIZE {self.data_size_limit}")
                self.command_size_limits["MAIL"] += _SIZE_ADDS
            if not self._decode_data and not _gets_text(self.smtp_server):
                self.push("250-8BITMIME")
            if self.enable_SMTPUTF8:
                self.push("250-SMTPUTF8")
                self.command_size_limits["MAIL"] += _SMTPUTF8_ADDS
            self.push("250 HELP")

    def smtp_NOOP(self, arg: Any) -> None:
        """Do nothing (RFC 5321, 4.1.1.9)."""
        self.push(self._smtpd_syntax("NOOP") if arg else "250 OK")

    def smtp_RSET(self, arg: Any) -> None:
        """Drop the transaction, keep the greeting (RFC 5321, 4.1.1.5)."""
        if arg:
            self.push(self._smtpd_syntax("RSET"))
        else:
            self._set_rset_state()
            self.push("250 OK")

    def smtp_QUIT(self, arg: Any) -> None:
        """Close the connection once the reply is out (RFC 5321, 4.1.1.10)."""
        self.push("221 Bye")
        self.close_when_done()

    # Transaction

    def smtp_MAIL(self, arg: Any) -> None:
        """Begin a transaction with its reverse-path (RFC 5321, 4.1.1.2)."""
        if self._smtpd.accepted is not None:
            self._smtpd.note_greeting(self)
        if not self.seen_greeting:
            self.push("503 Error: send HELO first")
            return
        traced = tracing()
        if traced:
            trace("===> MAIL", arg)
        path = self._smtpd_path("FROM:", arg)
        if path is None:
            self.push(self._smtpd_syntax("MAIL"))
            return
        if self.mailfrom:
            self.push("503 Error: nested MAIL command")
            return
        address, options = path
        params = self._getparams(options)
        refusal = (
            self._smtpd_syntax("MAIL")
            if params is None
            else self._smtpd_refuse_mail(params)
        )
        if refusal:
            self.push(refusal)
            return
        self.mailfrom = address
        self.mail_options = options
        self.require_SMTPUTF8 = self.enable_SMTPUTF8 and "SMTPUTF8" in options
        if traced:
            trace("sender:", self.mailfrom)
        self.push("250 OK")

    def smtp_RCPT(self, arg: Any) -> None:
        """Add a recipient to the transaction (RFC 5321, 4.1.1.3)."""
        if self._smtpd.accepted is not None:
            self._smtpd.note_greeting(self)
        if not self.seen_greeting:
            self.push("503 Error: send HELO first")
            return
        traced = tracing()
        if traced:
            trace("===> RCPT", arg)
        if not self.mailfrom:
            self.push("503 Error: need MAIL command")
            return
        path = self._smtpd_path("TO:", arg)
        params = None if path is None else self._getparams(path[1])
        if path is None or params is None:
            self.push(self._smtpd_syntax("RCPT"))
            return
        if params:
            self.push("555 RCPT TO parameters not recognized or not implemented")
            return
        limit = setting(self.smtp_server, "recipient_limit")
        if limit is not None and len(self.rcpttos) >= limit:
            self.push("452 Too many recipients")
            return
        self.rcpttos.append(path[0])
        if traced:
            trace("recips:", self.rcpttos)
        self.push("250 OK")

    def smtp_DATA(self, arg: Any) -> None:
        """Take what follows as the message, up to CRLF.CRLF (RFC 5321, 4.1.1.4)."""
        if self._smtpd.accepted is not None:
            self._smtpd.note_greeting(self)
        if not self.seen_greeting:
            self.push("503 Error: send HELO first")
        elif not self.rcpttos:
            self.push("503 Error: need RCPT command")
        elif arg:
            self.push(self._smtpd_syntax("DATA"))
        else:
            self.smtp_state = self.DATA
            self.set_terminator(b"\r\n.\r\n")
            self.push("354 End data with <CR><LF>.<CR><LF>")

    # Questions

    def smtp_HELP(self, arg: Any) -> None:
        """Tell a command's syntax, or the commands (RFC 5321, 4.1.1.8)."""
        verb = arg.upper() if arg else ""
        if verb in _SYNTAX:
            self.push(self._smtpd_syntax(verb, 250))
        else:
            code = 501 if arg else 250
            self.push(f"{code} Supported commands: {_HELPED}")

    def smtp_VRFY(self, arg: Any) -> None:
        """Neither confirm nor deny a mailbox (RFC 5321, 3.5.3 and 4.1.1.6)."""
        if not arg:
            self.push(self._smtpd_syntax("VRFY"))
        elif self._getaddr(arg)[0]:
            self.push(
                "252 Cannot VRFY user, but will accept message and attempt delivery"
            )
        else:
            self.push(f"502 Could not VRFY {escape_line_ends(arg)}")

    def smtp_EXPN(self, arg: Any) -> None:
        """Expand no mailing list (RFC 5321, 3.5.3 and 4.1.1.7)."""
        self.push("502 EXPN not implemented")

    # Arguments

    def _smtpd_syntax(self, verb: str, code: int = 501) -> str:
        hint = ""
        if self.extended_smtp and verb in _TAKES_PARAMETERS:
            hint = _PARAMETERS_HINT
        return f"{code} Syntax: {_SYNTAX[verb]}{hint}"

    def _smtpd_path(
        self, keyword: str, arg: str | None
    ) -> tuple[str, list[str]] | None:
        """The mailbox and the parameters in ``KEYWORD mailbox parameters``.

        None if there is no mailbox, or if there are parameters in base command mode.
        """
        if arg is None:
            return None
        address, rest = self._getaddr(self._strip_command_keyword(keyword, arg))
        if not address or (rest and not self.extended_smtp):
            return None
        return address, _WORDS.findall(rest.upper()) if rest else []

    def _strip_command_keyword(self, keyword: str, arg: str) -> str:
        """What follows *keyword* in *arg*, ``''`` where it does not stand."""
        if arg[: len(keyword)].upper() != keyword:
            return ""
        return arg[len(keyword) :].strip()

    def _getaddr(self, arg: str) -> tuple[str, str]:
        """The mailbox at the start of *arg*, ``''`` if there is none, and the rest."""
        try:
            return parse_address(arg)
        except AddressError:
            return "", arg

    def _getparams(self, params: Sequence[str] | str) -> dict[str, str | bool] | None:
        """Parameters by keyword; the value is True where none stands.

        :param params: a list; or what stands after the mailbox, as in 3.3 and 3.4.

        None if one has a keyword that is not alphanumeric, or ``=`` and no value
        (RFC 5321, 4.1.2: esmtp-param).
        """
        parsed: dict[str, str | bool] = {}
        if isinstance(params, str):
            params = params.split()
        for param in params:
            keyword, equals, value = param.partition("=")
            if not keyword.isalnum() or (equals and not value):
                return None
            parsed[keyword] = value or True
        return parsed

    def _smtpd_refuse_mail(self, params: dict[str, str | bool]) -> str | None:
        """The reply to a MAIL whose parameters will not do, None if they will."""
        limit = self.data_size_limit
        if not params and (not limit or limit > 0):
            return None
        if not self._decode_data and params.pop("BODY", "7BIT") not in (
            "7BIT",
            "8BITMIME",
        ):
            return "501 Error: BODY can only be one of 7BIT, 8BITMIME"
        if self.enable_SMTPUTF8 and params.pop("SMTPUTF8", True) is not True:
            return "501 Error: SMTPUTF8 takes no arguments"
        size = params.pop("SIZE", "0")
        if isinstance(size, bool) or not size.isdigit():
            return self._smtpd_syntax("MAIL")
        if limit:
            try:
                too_large = int(size) > limit
            except ValueError:  # a digit to Unicode, such as a superscript, not to int
                return self._smtpd_syntax("MAIL")
            if too_large:
                return "552 Error: message size exceeds fixed maximum message size"
        if params:
            return "555 MAIL FROM parameters not recognized or not implemented"
        return None


def _gets_text(server: Any) -> bool:
    """Whether the handler of *server* gets messages as `str`."""
    handler = getattr(server, "process_message", None)
    return handler is not None and takes_text(handler)


#: The names that Python has looked up before; one that is new takes it longer.
METHODS = {name[5:]: name for name in vars(Commands) if name.startswith("smtp_")}


def escape_line_ends(text: str) -> str:
    """Text of the client for a reply's one line: CR and LF are spelled out."""
    return text.replace("\r", "\\r").replace("\n", "\\n")
