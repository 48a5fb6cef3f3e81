"""A mail catcher for somebody's tests: it keeps mail as parsed messages."""

from __future__ import annotations

import socket
import threading
from email import message_from_bytes, policy
from email.message import EmailMessage
from types import TracebackType
from typing import Any, NamedTuple

import smtpd_compat as smtpd


class Mail(NamedTuple):
    sender: str
    recipients: list[str]
    options: list[str]
    message: EmailMessage


class Stop(smtpd.asyncore.dispatcher):
    """Ends the loop once the far end of its socket pair is closed."""

    def __init__(self, map: dict[int, Any]) -> None:
        self.far_end, near_end = socket.socketpair()
        super().__init__(near_end, map)

    def writable(self) -> bool:
        return False

    def handle_read(self) -> None:
        raise smtpd.asyncore.ExitNow("enough")


class Catcher(smtpd.SMTPServer):
    idle_timeout = 300
    connection_limit = 20
    recipient_limit = None

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.dispatchers: dict[int, Any] = {}
        super().__init__(
            (host, port),
            None,
            data_size_limit=100_000,
            map=self.dispatchers,
            enable_SMTPUTF8=True,
        )
        self.mails: list[Mail] = []
        self._stop = Stop(self.dispatchers)
        self._thread = threading.Thread(target=self._serve)

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.socket.getsockname()[:2]
        return str(host), int(port)

    def process_message(
        self,
        peer: tuple[str, int],
        mailfrom: str,
        rcpttos: list[str],
        data: bytes,
        **kwargs: list[str],
    ) -> str | None:
        if self.data_size_limit and len(data) > self.data_size_limit // 2:
            return "452 Not that much today"
        message = message_from_bytes(data, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.mails.append(Mail(mailfrom, rcpttos, kwargs["mail_options"], message))
        return None

    def __enter__(self) -> Catcher:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.far_end.close()
        self._thread.join()
        smtpd.asyncore.close_all(self.dispatchers)

    def _serve(self) -> None:
        try:
            smtpd.loop(map=self.dispatchers)
        except smtpd.asyncore.ExitNow:
            pass


class Subjects(smtpd.SMTPServer):
    """Takes text, as servers up to 3.4 did."""

    def __init__(self, localaddr: tuple[str, int], map: dict[int, Any]) -> None:
        super().__init__(localaddr, None, map=map, decode_data=True)
        self.subjects: list[str] = []

    def process_message(
        self,
        peer: Any,
        mailfrom: str,
        rcpttos: list[str],
        data: str,
        **kwargs: Any,
    ) -> None:
        for line in data.splitlines():
            if line.startswith("Subject: "):
                self.subjects.append(line.partition(": ")[2])
