"""Servers that keep the messages they get, and what they log."""

from __future__ import annotations

from typing import Any, NamedTuple

import smtpd_compat

from .serving import serving


class Message(NamedTuple):
    """What ``process_message`` was given."""

    peer: Any
    mailfrom: str
    rcpttos: list[str]
    data: Any
    options: dict[str, Any]


class KeepsLog:
    """For servers and channels: what asyncore's log would show as an error."""

    errors: list[str]

    def log_info(self, message: str, type: str = "info") -> None:
        log = self.__dict__.get("errors")
        if log is None:
            log = getattr(self.__dict__.get("smtp_server"), "errors", [])
        if type == "error":
            log.append(message)


class Channel(KeepsLog, smtpd_compat.SMTPChannel):
    """A channel that logs to ``server.errors``."""


class Server(KeepsLog, smtpd_compat.SMTPServer):
    """A server that keeps messages in ``messages`` and errors in ``errors``.

    Where ``answers`` is set, its items are returned in turn, or raised.
    """

    channel_class = Channel
    answers: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.messages: list[Message] = []
        self.errors: list[str] = []
        super().__init__(*args, **kwargs)

    def process_message(
        self, peer: Any, mailfrom: str, rcpttos: list[str], data: Any, **kwargs: Any
    ) -> Any:
        self.messages.append(
            Message(
                peer,
                mailfrom,
                list(rcpttos),
                data,
                {name: list(value) for name, value in kwargs.items()},
            )
        )
        if self.answers is None:
            return None
        answer = next(self.answers)
        if isinstance(answer, BaseException):
            raise answer
        return answer


class KeepsData(smtpd_compat.SMTPServer):
    """A server that keeps nothing but the data of messages."""

    messages: list[Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.messages = []

    def process_message(self, *args: Any, **kwargs: Any) -> None:
        self.messages.append(args[3])


def serving_with(channel: Any, server: Any = KeepsData) -> Any:
    """Serve *server* with this class of channels."""

    class Server(server):
        channel_class = channel

    return serving(Server)


def deliver(client: Any) -> bytes:
    """Send a message, after a greeting; the reply at its end."""
    for line in (b"MAIL FROM:<a@b.c>", b"RCPT TO:<d@e.f>"):
        assert client.say(line) == b"250 OK\r\n"
    assert client.say(b"DATA").startswith(b"354 ")
    return client.say(b"Subject: x\r\n.")


def kept_octets(channel: Any) -> int:
    """All that a channel holds of what its client sent or has not read."""
    kept = sum(len(line) for line in channel.received_lines) + len(channel.ac_in_buffer)
    kept += sum(len(unsent) for unsent in channel.producer_fifo)
    if channel._smtpd.text is not None:
        kept += channel._smtpd.text._text.tell()
    return kept
