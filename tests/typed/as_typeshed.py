"""A typed program for smtpd, as typeshed describes it: every name that it has."""

from __future__ import annotations

import asynchat
import asyncore
import smtpd
import socket
from collections import defaultdict
from typing import Any


class Channel(smtpd.SMTPChannel):
    user: str | None = None
    command_size_limit = 1024

    def __init__(
        self,
        server: smtpd.SMTPServer,
        conn: socket.socket,
        addr: Any,
        data_size_limit: int = 33554432,
        map: dict[int, Any] | None = None,
        enable_SMTPUTF8: bool = False,
        decode_data: bool = False,
    ) -> None:
        super().__init__(
            server, conn, addr, data_size_limit, map, enable_SMTPUTF8, decode_data
        )
        self.command_size_limits["MAIL"] += 20
        self.pieces: list[bytes] = []

    def push(self, msg: str) -> None:  # type: ignore[override]
        print(msg.upper())
        super().push(msg)

    def collect_incoming_data(self, data: bytes) -> None:
        self.pieces.append(data)
        super().collect_incoming_data(data)

    def found_terminator(self) -> None:
        line = "".join(self.received_lines)
        if self.smtp_state == self.COMMAND and line.startswith("XCLIENT"):
            return self.push("500 no")
        if self.smtp_state == smtpd.SMTPChannel.DATA:
            print(len(self.pieces), self.max_command_size_limit + 1)
        super().found_terminator()

    def smtp_HELO(self, arg: str) -> None:
        if not arg.isascii():
            self.push("501 no")
        super().smtp_HELO(arg)

    def smtp_EHLO(self, arg: str) -> None:
        super().smtp_EHLO(arg)
        if self.seen_greeting.startswith("spam"):
            self.seen_greeting = ""

    def smtp_MAIL(self, arg: str) -> None:
        super().smtp_MAIL(arg)
        self.mailfrom = self.mailfrom.lower()

    def smtp_RCPT(self, arg: str) -> None:
        if self.mailfrom.endswith("@spam.example"):
            self.push("550 no")
            return
        super().smtp_RCPT(arg)
        self.rcpttos.append("archive@example.org")

    def smtp_DATA(self, arg: str) -> None:
        super().smtp_DATA(arg)

    def smtp_RSET(self, arg: str) -> None:
        super().smtp_RSET(arg)

    def smtp_NOOP(self, arg: str) -> None:
        super().smtp_NOOP(arg)

    def smtp_HELP(self, arg: str) -> None:
        super().smtp_HELP(arg)

    def smtp_VRFY(self, arg: str) -> None:
        super().smtp_VRFY(arg)

    def smtp_EXPN(self, arg: str) -> None:
        super().smtp_EXPN(arg)

    def smtp_QUIT(self, arg: str) -> None:
        self.close_when_done()

    def handle_error(self) -> None:
        raise

    def handle_close(self) -> None:
        self.close()

    def readable(self) -> bool:
        return self.connected and super().readable()


class Server(smtpd.SMTPServer):
    channel_class = Channel
    data_size_limit = 1000

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(
            address, ("mail.example.org", 25), 100, decode_data=True, map={}
        )
        self.taken: list[tuple[str, list[str]]] = []

    def handle_accept(self) -> None:
        pair = self.accept()
        if pair is not None:
            self.handle_accepted(*pair)

    def handle_accepted(self, conn: socket.socket, addr: Any) -> None:
        conn.settimeout(3)
        channel = self.channel_class(self, conn, addr, self.data_size_limit)
        channel.set_terminator(b"\r\n")

    def process_message(
        self,
        peer: tuple[str, int],
        mailfrom: str,
        rcpttos: list[str],
        data: bytes | str,
        **kwargs: Any,
    ) -> str | None:
        self.taken.append((mailfrom, rcpttos))
        return super().process_message(peer, mailfrom, rcpttos, data, **kwargs)


class WithoutKeywords(smtpd.SMTPServer):
    def process_message(  # type: ignore[override]
        self, peer: tuple[str, int], mailfrom: str, rcpttos: list[str], data: str
    ) -> None:
        print(peer[0], data.splitlines()[0])


class Printer(smtpd.DebuggingServer):
    def process_message(
        self,
        peer: tuple[str, int],
        mailfrom: str,
        rcpttos: list[str],
        data: bytes | str,
        **kwargs: Any,
    ) -> str | None:
        return super().process_message(peer, mailfrom, rcpttos, data, **kwargs)


class Relay(smtpd.PureProxy):
    def process_message(  # type: ignore[override]
        self,
        peer: tuple[str, int],
        mailfrom: str,
        rcpttos: list[str],
        data: bytes | str,
    ) -> str | None:
        return super().process_message(peer, mailfrom, rcpttos, data)


def sender(channel: smtpd.SMTPChannel) -> str:
    return channel.mailfrom


def who(channel: smtpd.SMTPChannel) -> str:
    return f"{channel.peer} {channel.addr}" + channel.fqdn.lower()


def room(server: smtpd.SMTPServer, channel: smtpd.SMTPChannel) -> int:
    return min(server.data_size_limit, channel.data_size_limit) - 1


def limits(channel: smtpd.SMTPChannel) -> defaultdict[str, int]:
    return channel.command_size_limits


def server_of(channel: smtpd.SMTPChannel) -> smtpd.SMTPServer:
    if channel.enable_SMTPUTF8 or channel.smtp_server.enable_SMTPUTF8:
        channel.conn.close()
    return channel.smtp_server


def stop(dispatcher: asyncore.dispatcher) -> None:
    dispatcher.close()


def hang_up(chat: asynchat.async_chat) -> None:
    chat.close_when_done()


def main() -> None:
    server = Server(("localhost", 0))
    if server.socket is not None:
        print(server.socket.getsockname()[1])
    for dispatcher in asyncore.socket_map.values():
        if isinstance(dispatcher, smtpd.SMTPChannel):
            hang_up(dispatcher)
    asyncore.loop(timeout=1, count=3)
    server.channel_class = Channel
    server.data_size_limit = 3
    stop(server)
    server.socket = None


main()
