"""The kinds of handlers that sessions are held with, by name.

A handler is what process_message takes, and what comes of it.  It writes down what it
is told.
"""

from __future__ import annotations

import warnings

from .sessions import Transcript

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from asyncore import ExitNow

__all__ = ["HANDLERS", "ExitNow", "server_class"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    _Answer = Callable[[Any, list[str], dict[str, Any]], Any]


def _raise(error: BaseException) -> Any:
    raise error


def _tamper(server: Any, rcpttos: list[str], kwargs: dict[str, Any]) -> str:
    rcpttos.append("added@handler.example")
    for options in kwargs.values():
        options.append("ADDED")
    return "250 tampered"


def _leave_lines(server: Any, rcpttos: list[str], kwargs: dict[str, Any]) -> str:
    channel = server.channel
    channel.received_lines.append("NOOP " if channel._decode_data else b"NOOP ")
    return "250 left something"


def _push(server: Any, rcpttos: list[str], kwargs: dict[str, Any]) -> None:
    server.channel.push("250-pushed by the handler")


def _push_and_raise(server: Any, rcpttos: list[str], kwargs: dict[str, Any]) -> None:
    server.channel.push("250 pushed by the handler")
    raise ValueError("from the handler")


def _close(server: Any, rcpttos: list[str], kwargs: dict[str, Any]) -> None:
    server.channel.push("421 closing")
    server.channel.close_when_done()


def _look(server: Any, rcpttos: list[str], kwargs: dict[str, Any]) -> str:
    """Answer with what the channel shows while the handler runs."""
    channel = server.channel
    transaction = channel.mailfrom, channel.rcpttos, channel.received_data
    return f"250 {channel.smtp_state} {channel.num_bytes} {transaction!a}"


_ANSWERS: dict[str, _Answer] = {
    "none": lambda *_: None,
    "text": lambda *_: "250 2.0.0 queued as 4711",
    "lines": lambda *_: "250-2.0.0 first\r\n250 2.0.0 second",
    "line end": lambda *_: "250 ends\r\n",
    "empty": lambda *_: "",
    "zero": lambda *_: "0",
    "refuses": lambda *_: "554 5.7.1 refused",
    "bytes": lambda *_: b"250 as in 2.7",
    "false": lambda *_: False,
    "not ascii": lambda *_: "250 k\xf6sz\xf6n\xf6m \u2713",
    "surrogate": lambda *_: "250 \udce9",
    "number": lambda *_: 250,
    "list": lambda *_: ["250 OK"],
    "raises": lambda *_: _raise(ValueError("from the handler")),
    "raises OSError": lambda *_: _raise(OSError(5, "from the handler")),
    "ExitNow": lambda *_: _raise(ExitNow("from the handler")),
    "SystemExit": lambda *_: _raise(SystemExit("from the handler")),
    "KeyboardInterrupt": lambda *_: _raise(KeyboardInterrupt("from the handler")),
    "tampers": _tamper,
    "leaves lines": _leave_lines,
    "pushes": _push,
    "pushes and raises": _push_and_raise,
    "closes": _close,
    "looks": _look,
}


def _answering(answer: _Answer) -> Any:
    class Answering:
        transcript: Transcript

        def process_message(
            self, peer: Any, mailfrom: str, rcpttos: list[str], data: Any, **kwargs: Any
        ) -> Any:
            self.transcript.messages.append(
                repr((peer, mailfrom, rcpttos, data, sorted(kwargs.items())))
            )
            return answer(self, rcpttos, kwargs)

    return Answering


class _Options:
    transcript: Transcript

    def process_message(
        self,
        peer: Any,
        mailfrom: str,
        rcpttos: list[str],
        data: Any,
        mail_options: Any = None,
        rcpt_options: Any = None,
    ) -> None:
        self.transcript.messages.append(
            repr((peer, mailfrom, rcpttos, data, mail_options, rcpt_options))
        )


class _FourArguments:
    transcript: Transcript

    def process_message(self, Peer: Any, From: str, To: list[str], Data: Any) -> str:
        self.transcript.messages.append(repr((Peer, From, To, Data)))
        return "250 from four arguments"


class _Text:
    """Takes keywords, and the message for text (3.5)."""

    transcript: Transcript

    def process_message(
        self, peer: Any, mailfrom: str, rcpttos: list[str], data: Any, **kwargs: Any
    ) -> str:
        lines = data.split("\n")
        self.transcript.messages.append(
            repr((peer, mailfrom, rcpttos, lines, sorted(kwargs.items())))
        )
        return f"250 {len(lines)} lines"


class _Octets:
    """Takes four arguments, and the message for octets (2.7)."""

    transcript: Transcript

    def process_message(
        self, peer: Any, mailfrom: str, rcpttos: list[str], data: Any
    ) -> None:
        octets = b"> " + data
        self.transcript.messages.append(repr((peer, mailfrom, rcpttos, octets)))


class _Unimplemented:
    pass


class _Relays:
    transcript: Transcript

    def _deliver(
        self, mailfrom: str, rcpttos: list[str], data: Any, *options: Any
    ) -> dict[str, Any]:
        self.transcript.messages.append(repr((mailfrom, rcpttos, data, options)))
        return {}


#: Handlers that derive from another class than SMTPServer.
_BUNDLED = {"debugging": "DebuggingServer", "relays": "PureProxy"}

_OTHER = {
    "options": _Options,
    "four arguments": _FourArguments,
    "wants text": _Text,
    "wants octets": _Octets,
    "unimplemented": _Unimplemented,
    "debugging": _Unimplemented,
    "relays": _Relays,
}

HANDLERS = tuple(_ANSWERS) + tuple(_OTHER)

#: Those whose first message tells what they take.
TRIED_OUT = ("wants text", "wants octets")

#: Those that do not take ``mail_options``, so that their message is text at first.
WITHOUT_OPTIONS = (_FourArguments, _Octets)


def server_class(kind: str, module: Any) -> Any:
    """The server of *module* with the handler called *kind*."""
    mixin = _answering(_ANSWERS[kind]) if kind in _ANSWERS else _OTHER[kind]
    cls = getattr(module, _BUNDLED.get(kind, "SMTPServer"))
    return type("Server", (mixin, cls), {})
