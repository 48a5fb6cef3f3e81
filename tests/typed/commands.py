"""A channel with commands, limits and rules of its own, and its server."""

from __future__ import annotations

import socket
from base64 import b64decode
from typing import Any

import smtpd_compat as smtpd


class Channel(smtpd.SMTPChannel):
    command_size_limit = 2048

    user: str | None = None

    def __init__(
        self, server: Server, conn: socket.socket, addr: Any, *args: Any, **kwargs: Any
    ) -> None:
        self.accounts = server.accounts
        self.noted = server.noted
        super().__init__(server, conn, addr, *args, **kwargs)
        self.command_size_limits["AUTH"] = 4096

    # Commands that every channel has

    def smtp_EHLO(self, arg: str | None) -> None:
        super().smtp_EHLO(arg)
        if self.seen_greeting and self.extended_smtp:
            host: str = self.peer[0]
            self.noted.append(f"{self.seen_greeting.lower()} is {host}")

    def smtp_MAIL(self, arg: str | None) -> None:
        if self.user is None:
            self.push("530 5.7.0 Authentication required")
        else:
            super().smtp_MAIL(arg)

    def smtp_RCPT(self, arg: str | None) -> None:
        super().smtp_RCPT(arg)
        if self.mailfrom and self.mailfrom.endswith("@example.com"):
            self.noted.append(f"{self.mailfrom} writes to {self.rcpttos[-1]}")

    def smtp_HELP(self, arg: str | None) -> None:
        if arg and arg.upper() == "AUTH":
            self.push("250 Syntax: AUTH PLAIN response")
        else:
            super().smtp_HELP(arg)

    # Commands of its own

    def smtp_AUTH(self, arg: str | None) -> None:
        method, _, response = (arg or "").partition(" ")
        if method.upper() != "PLAIN" or not response:
            self.push("504 5.5.4 AUTH PLAIN with a response, no other")
            return
        _, user, password = b64decode(response).decode().split("\0")
        if self.accounts.get(user) == password:
            self.user = user
            self.push("235 2.7.0 Welcome")
        else:
            self.push("535 5.7.8 Wrong")

    def smtp_XROOM(self, arg: str | None) -> None:
        for verb, limit in sorted(self.command_size_limits.items()):
            self.push(f"250-{verb} {limit} of {self.max_command_size_limit}")
        limit = self.data_size_limit
        self.push(f"250 {limit - 1 if limit else 'any'} {self.fqdn.upper()}"[:10])

    # Hooks

    def collect_incoming_data(self, data: bytes) -> None:
        if self.smtp_state == self.COMMAND and b"\0" in data:
            self.close_when_done()
        super().collect_incoming_data(data)

    def found_terminator(self) -> None:
        if self.smtp_state == self.DATA:
            first: bytes = self.received_lines[0]
            end = self.get_terminator()
            self.noted.append(f"{len(first)} octets or more, to {end!r}")
        super().found_terminator()

    def push(self, msg: str | bytes) -> None:
        if isinstance(msg, str) and msg.startswith("5"):
            self.noted.append(msg.partition(" ")[0])
        super().push(msg)

    def handle_close(self) -> None:
        self.noted.append(f"gone: {self.user}, {self.smtp_server.data_size_limit}")
        super().handle_close()


class Server(smtpd.SMTPServer):
    channel_class = Channel

    def __init__(self, localaddr: tuple[str, int], map: dict[int, Any]) -> None:
        self.accounts = {"me": "secret"}
        self.noted: list[str] = []
        super().__init__(localaddr, None, data_size_limit=None, map=map)

    def handle_accepted(self, conn: socket.socket, addr: tuple[str, int]) -> None:
        if addr[0] == "192.0.2.1":
            conn.close()
        else:
            super().handle_accepted(conn, addr)

    def process_message(
        self,
        peer: Any,
        mailfrom: str,
        rcpttos: list[str],
        data: bytes,
        **kwargs: Any,
    ) -> str:
        return f"250 Took {len(data)} octets"
