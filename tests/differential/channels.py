"""The kinds of channels that sessions are held with, by name.

Each is a class derived from a copy's SMTPChannel, as programs derive theirs, and
writes down what is asked of it.
"""

from __future__ import annotations

import re

from .sessions import Transcript

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_UNCAUGHT = re.compile(
    r"uncaptured python exception, (\w+) .*\(<class '([\w.]+)'>", re.DOTALL
)
_FRAME = re.compile(r"\[[^\[\]|]*\|(\w+)\|\d+\]")


def _death(message: str) -> str:
    """The exception that asyncore logs, and the functions that it went through."""
    found = _UNCAUGHT.match(message)
    if found is None:
        return message
    return " ".join((found[1], found[2]) + tuple(_FRAME.findall(message)))


def _watched(base: Any) -> Any:
    """*base*, with its deaths written down instead of printed."""

    class Channel(base):  # type: ignore[misc]
        transcript = Transcript()

        def log_info(self, message: str, type: str = "info") -> None:
            self.transcript.deaths.append(_death(message))

    return Channel


def _logged(name: str) -> Any:
    def hook(self: Any, *args: Any) -> Any:
        hooks = self.transcript.hooks
        if name == "collect_incoming_data" and hooks and hooks[-1].startswith(name):
            # Where the pieces are cut is nobody's business.
            hooks.pop()
            self.collected += args[0]
        elif name == "collect_incoming_data":
            self.collected = args[0]
        shown = (self.collected,) if name == "collect_incoming_data" else args
        hooks.append(name + repr(shown))
        return getattr(super(self.logged_class, self), name)(*args)

    return hook


_HOOKS = (
    "push",
    "collect_incoming_data",
    "found_terminator",
    "set_terminator",
    "close_when_done",
    "handle_close",
    "close",
    "handle_read",
    "smtp_HELO",
    "smtp_EHLO",
    "smtp_NOOP",
    "smtp_QUIT",
    "smtp_MAIL",
    "smtp_RCPT",
    "smtp_RSET",
    "smtp_DATA",
    "smtp_HELP",
    "smtp_VRFY",
    "smtp_EXPN",
)


def _with_hooks(*names: str) -> Callable[[Any], Any]:
    def kind(base: Any) -> Any:
        cls: Any = type(base.__name__, (base,), {name: _logged(name) for name in names})
        cls.logged_class = cls
        return cls

    return kind


def _commands(base: Any) -> Any:
    """Commands added and overridden, as programs for tests of clients have them."""

    class Commands(base):  # type: ignore[misc]
        def smtp_EHLO(self, arg: Any) -> None:
            if arg:
                self.push("250-AUTH PLAIN")
            super().smtp_EHLO(arg)

        def smtp_AUTH(self, arg: Any) -> None:
            self.transcript.hooks.append(f"AUTH {arg!r}")
            self.push("235 welcome" if arg else "501 Syntax: AUTH mechanism")

        def smtp_XODD(self, arg: Any) -> None:
            self.smtp_state = 7
            self.push("250 now what?")

        def smtp_RCPT(self, arg: Any) -> None:
            if arg and "refused" in arg:
                self.push("550 no such user")
            else:
                super().smtp_RCPT(arg)

    return Commands


def _dialogue(base: Any) -> Any:
    """A login dialogue, driven by found_terminator."""

    class Dialogue(base):  # type: ignore[misc]
        received_lines: list[Any]
        asked: tuple[str, ...] | None = None

        def smtp_AUTH(self, arg: Any) -> None:
            self.asked = ("UGFzc3dvcmQ6",)
            self.push("334 VXNlcm5hbWU6")

        def found_terminator(self) -> None:
            if self.asked is None:
                super().found_terminator()
                return
            line = self._emptystring.join(self.received_lines)
            self.transcript.hooks.append(f"answer {line!r}")
            self.received_lines = []
            self.num_bytes = 0
            if self.asked:
                self.push("334 " + self.asked[0])
                self.asked = ()
            else:
                self.asked = None
                self.push("235 welcome")

    return Dialogue


def _chunks(base: Any) -> Any:
    """A command followed by as many octets as its argument says."""

    class Chunks(base):  # type: ignore[misc]
        received_lines: list[Any]
        taking = False

        def smtp_XDAT(self, arg: Any) -> None:
            if not arg or not arg.isdigit():
                self.push("501 Syntax: XDAT octets")
                return
            self.taking = True
            self.set_terminator(int(arg))

        def found_terminator(self) -> None:
            if not self.taking:
                super().found_terminator()
                return
            self.taking = False
            chunk = self._emptystring.join(self.received_lines)
            self.transcript.hooks.append(f"chunk {chunk!r}")
            self.received_lines = []
            self.num_bytes = 0
            self.set_terminator(b"\r\n")
            self.push("250 taken")

    return Chunks


def _line_feeds(base: Any) -> Any:
    """Lines that end in LF."""

    class LineFeeds(base):  # type: ignore[misc]
        def set_terminator(self, term: Any) -> None:
            super().set_terminator(term.replace(b"\r\n", b"\n"))

    return LineFeeds


def _silent(base: Any) -> Any:
    """Greetings of its own, which are not noted, as was good up to 3.2."""

    class Silent(base):  # type: ignore[misc]
        def smtp_HELO(self, arg: Any) -> None:
            self.push("250 hello" if arg else "501 hello who?")

        def smtp_EHLO(self, arg: Any) -> None:
            if not arg:
                self.push("501 hello who?")
                return
            self.push("250-hello")
            self.push("250 SIZE")

    return Silent


def _greets(base: Any) -> Any:
    """An EHLO of its own, which notes the greeting and offers parameters."""

    class Greets(base):  # type: ignore[misc]
        def smtp_EHLO(self, arg: Any) -> None:
            if not arg:
                self.push("501 hello who?")
                return
            self.push("250-hello")
            self.push("250 SIZE")
            self.seen_greeting = arg

        def smtp_NOOP(self, arg: Any) -> None:
            self.send("250 Ok\r\n")

    return Greets


def _dispatches(base: Any) -> Any:
    """Calls the commands by itself, and notes no greeting."""

    class Dispatches(_silent(base)):  # type: ignore[misc]
        received_lines: list[Any]

        def found_terminator(self) -> None:
            if self.smtp_state != self.COMMAND:
                super().found_terminator()
                return
            line = self._emptystring.join(self.received_lines)
            if isinstance(line, bytes):
                line = line.decode("latin-1")
            self.received_lines = []
            self.num_bytes = 0
            verb, _, arg = line.partition(" ")
            method = getattr(self, "smtp_" + verb.upper(), None)
            if method is None:
                self.push("500 what?")
            else:
                method(arg or None)

    return Dispatches


def _old(base: Any) -> Any:
    """Overridden commands as they were written for 3.1 and earlier."""

    class Old(base):  # type: ignore[misc]
        def smtp_RCPT(self, arg: Any) -> None:
            if not self._SMTPChannel__mailfrom:
                self.push("503 Error: need MAIL command")
                return
            self._SMTPChannel__rcpttos.append(arg)
            self.push("250 Ok")

        def smtp_DATA(self, arg: Any) -> None:
            if not self._SMTPChannel__rcpttos:
                self.push("503 Error: need RCPT command")
                return
            self._SMTPChannel__state = self.DATA
            self.set_terminator(b"\r\n.\r\n")
            self.push("354 go on")

    return Old


def _parameters(base: Any) -> Any:
    """Parameters as 3.3 and 3.4 had them parsed: in one string."""

    class Parameters(base):  # type: ignore[misc]
        def smtp_XDAT(self, arg: Any) -> None:
            params = self._getparams((arg or "").upper())
            self.push(f"250 {params!a}")

        smtp_NOOP = smtp_VRFY = smtp_EXPN = smtp_XDAT

    return Parameters


def _small(base: Any) -> Any:
    """A line limit of its own."""
    return type("Small", (base,), {"command_size_limit": 80})


def _unlimited(limit: int | None) -> Callable[[Any], Any]:
    """No limit for command lines, said in one way or the other."""
    return lambda base: type("Unlimited", (base,), {"command_size_limit": limit})


def _rewriting(base: Any) -> Any:
    """Every reply in the server's own words."""

    class Rewriting(base):  # type: ignore[misc]
        def push(self, msg: Any) -> None:
            super().push(msg.replace("OK", "Ok"))

    return Rewriting


def _catching(base: Any) -> Any:
    """Answers its own failures and goes on."""

    class Catching(base):  # type: ignore[misc]
        def handle_error(self) -> None:
            self.transcript.hooks.append("handle_error")
            self.transcript.deaths.append("caught by the program")
            self.push("451 caught")

    return Catching


def _failing(base: Any) -> Any:
    """Commands and a hook that fail, most of them after they have replied."""

    class Failing(base):  # type: ignore[misc]
        def smtp_EHLO(self, arg: Any) -> None:
            self.push("250-first")
            if arg == "a":
                raise LookupError("between the lines of a reply")
            super().smtp_EHLO(arg)

        def smtp_VRFY(self, arg: Any) -> None:
            raise LookupError("before the reply")

        def smtp_RCPT(self, arg: Any) -> None:
            super().smtp_RCPT(arg)
            if len(self.rcpttos) == 2:
                raise LookupError("after the reply")

        def found_terminator(self) -> None:
            is_message = self.smtp_state == self.DATA
            super().found_terminator()
            if is_message:
                raise LookupError("after the message")

    return Failing


_CHANNELS: dict[str, Callable[[Any], Any]] = {
    "plain": lambda base: base,
    "logged": _with_hooks(*_HOOKS),
    "logged helpers": _with_hooks(
        "_set_post_data_state",
        "_set_rset_state",
        "_getaddr",
        "_getparams",
        "_strip_command_keyword",
    ),
    "logged push": _with_hooks("push"),
    "logged collect": _with_hooks("collect_incoming_data"),
    "logged terminator": _with_hooks("found_terminator", "smtp_MAIL", "smtp_RCPT"),
    "commands": _commands,
    "dialogue": _dialogue,
    "chunks": _chunks,
    "line feeds": _line_feeds,
    "silent": _silent,
    "greets": _greets,
    "dispatches": _dispatches,
    "old": _old,
    "parameters": _parameters,
    "small": _small,
    "unlimited": _unlimited(0),
    "unlimited by None": _unlimited(None),
    "rewriting": _rewriting,
    "catching": _catching,
    "failing": _failing,
    "failing and catching": lambda base: _catching(_failing(base)),
}

CHANNELS = tuple(_CHANNELS)


def channel_class(kind: str, base: Any) -> Any:
    """The channel called *kind*, on top of *base*."""
    return _CHANNELS[kind](_watched(base))
