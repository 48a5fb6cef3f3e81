"""The servers of the search: none fails by itself, unless as `OnPurpose` says."""

from __future__ import annotations

import random
from typing import Any, Callable, Dict, List, NamedTuple, Optional

import smtpd_compat
from tests.support.keeping import KeepsLog


class Configuration(NamedTuple):
    """Everything that decides about a server but what its clients send."""

    make: Callable[..., Any]
    settings: Dict[str, Any]
    channel_class: type
    attributes: Dict[str, Any]
    peer: Any
    is_traced: bool

    @property
    def fails(self) -> bool:
        """Whether the channel's class raises `OnPurpose`."""
        return issubclass(self.channel_class, _FAILING)

    def __str__(self) -> str:
        return "%s, %s, %s, %s, peer %r%s" % (
            self.make.__name__,
            self.channel_class.__name__,
            self.settings,
            self.attributes,
            self.peer,
            ", traced" if self.is_traced else "",
        )


def configuration(rng: random.Random) -> Configuration:
    """Any of them."""
    make = rng.choices(_SERVERS, _SERVER_WEIGHTS)[0]
    settings: Dict[str, Any] = {}
    mode = rng.random()
    if mode < 0.3:
        settings["decode_data"] = True
    elif mode < 0.6 and make is not Relay:
        settings["enable_SMTPUTF8"] = True
    limit: Optional[int] = rng.choice((-1, -1, None, 0, 1, 10, 100, 1000))
    if limit != -1:
        settings["data_size_limit"] = limit
    attributes: Dict[str, Any] = {}
    if rng.random() < 0.2:
        attributes["recipient_limit"] = rng.choice((0, 1, 2))
    if rng.random() < 0.2:
        attributes["idle_timeout"] = 300
    channel_class = rng.choices(_CHANNELS, _CHANNEL_WEIGHTS)[0]
    fails = issubclass(channel_class, _FAILING)
    if make is not Legacy and rng.random() < (0.3 if fails else 0.03):
        attributes["worker_threads"] = rng.choice((1, 2))
    return Configuration(
        make,
        settings,
        channel_class,
        attributes,
        rng.choice((("192.0.2.7", 4007), ("2001:db8::7", 4007, 0, 0), "")),
        rng.random() < 0.15,
    )


# Servers


class Keeps(KeepsLog, smtpd_compat.SMTPServer):
    """Counts messages, and takes them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.errors: List[str] = []
        self.accepted = 0
        super().__init__(*args, **kwargs)

    def process_message(self, *args: Any, **kwargs: Any) -> Optional[str]:
        self.accepted += 1
        return None


class Legacy(Keeps):
    """Its handler was written before 3.5."""

    def process_message(self, peer: Any, mailfrom: Any, rcpttos: Any, data: Any) -> Any:
        self.accepted += 1
        lines = data.split("\n")
        return f"250 {len(lines)} lines from {ascii(mailfrom)[:20]}"


class Echoes(Keeps):
    """Answers with what a client said, in several lines."""

    def process_message(self, *args: Any, **kwargs: Any) -> Optional[str]:
        self.accepted += 1
        said = "".join(args[2]).replace("\r", "").replace("\n", "")
        return f"250-{said}\r\n250 {said}"


class Refuses(Keeps):
    """Takes no message."""

    def process_message(self, *args: Any, **kwargs: Any) -> Optional[str]:
        return "550 no"


class Debugging(Keeps, smtpd_compat.DebuggingServer):
    """Prints messages."""

    def process_message(self, *args: Any, **kwargs: Any) -> Optional[str]:
        self.accepted += 1
        return smtpd_compat.DebuggingServer.process_message(self, *args, **kwargs)


class Relay(Keeps, smtpd_compat.PureProxy):
    """Relays to an upstream that takes everything."""

    def process_message(self, *args: Any, **kwargs: Any) -> Optional[str]:
        self.accepted += 1
        return smtpd_compat.PureProxy.process_message(self, *args, **kwargs)

    def _deliver(self, mailfrom: Any, rcpttos: Any, data: Any, *options: Any) -> Any:
        return {}


_SERVERS = (Keeps, Legacy, Echoes, Refuses, Debugging, Relay)
_SERVER_WEIGHTS = (5, 1, 1, 1, 1, 1)


# Channels


class Plain(KeepsLog, smtpd_compat.SMTPChannel):
    """As it is."""


class OverridesBoth(Plain):
    """Its hooks only pass on, so that no shorter way may be taken."""

    def collect_incoming_data(self, data: bytes) -> None:
        super().collect_incoming_data(data)

    def found_terminator(self) -> None:
        super().found_terminator()


class Collects(Plain):
    """It watches what arrives."""

    def collect_incoming_data(self, data: bytes) -> None:
        self.latest = data
        super().collect_incoming_data(data)


class ThreeArguments(Plain):
    """It was written for 2.7."""

    def __init__(self, server: Any, conn: Any, addr: Any) -> None:
        super().__init__(server, conn, addr)


class Watches(Plain):
    """It looks at every command and every reply, and has commands of its own."""

    def smtp_AUTH(self, arg: Optional[str]) -> None:
        self.push("535 no")

    def smtp_RCPT(self, arg: Optional[str]) -> None:
        self.latest = self._SMTPChannel__getaddr("TO:", arg) if arg else None
        super().smtp_RCPT(arg)

    def smtp_EHLO(self, arg: Optional[str]) -> None:
        super().smtp_EHLO(arg)

    def push(self, msg: Any) -> None:
        self.latest_reply = msg
        super().push(msg)


class Quiet(Plain):
    """With a handle_error of its own, exceptions take another way."""

    def handle_error(self) -> None:
        self.log_info("an exception", "error")


class OnPurpose(Exception):
    """What the program of a search raises."""


class CommandsFail(Plain):
    """Its commands fail, most of them after their reply."""

    def smtp_EHLO(self, arg: Optional[str]) -> None:
        super().smtp_EHLO(arg)
        if arg and len(arg) % 3 == 0:
            raise OnPurpose

    def smtp_RCPT(self, arg: Optional[str]) -> None:
        if arg and len(arg) % 5 == 0:
            raise OnPurpose
        super().smtp_RCPT(arg)
        if arg and len(arg) % 3 == 0:
            raise OnPurpose

    def smtp_DATA(self, arg: Optional[str]) -> None:
        super().smtp_DATA(arg)
        if len(self.rcpttos) == 2:
            raise OnPurpose

    def smtp_AUTH(self, arg: Optional[str]) -> None:
        self.push("235 welcome")
        raise OnPurpose

    def smtp_QUIT(self, arg: Optional[str]) -> None:
        super().smtp_QUIT(arg)
        raise OnPurpose


class HooksFail(Plain):
    """Its hooks fail, after a command's reply, after a message, and in a line."""

    calls = 0

    def found_terminator(self) -> None:
        is_message = self.smtp_state == self.DATA
        super().found_terminator()
        self.calls += 1
        if is_message or self.calls % 7 == 0:
            raise OnPurpose

    def collect_incoming_data(self, data: bytes) -> None:
        super().collect_incoming_data(data)
        if data.startswith(b"VRFY"):
            raise OnPurpose


class HooksFailQuietly(HooksFail):
    """And asyncore is not to hear of it."""

    def handle_error(self) -> None:
        self.log_info("OnPurpose, or not", "error")


_FAILING = (CommandsFail, HooksFail, HooksFailQuietly)

_CHANNELS = (
    *(Plain, OverridesBoth, Collects, ThreeArguments, Watches, Quiet),
    *_FAILING,
)
_CHANNEL_WEIGHTS = (6, 1, 1, 1, 1, 1, 0.5, 0.5, 0.5)
