"""Upstream servers with a script: SMTP and LMTP, on real sockets, in threads."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Callable, NamedTuple, Union

#: In the place of a reply: close the connection.
CLOSE = "(close)"

#: In the place of a reply: reset the connection.
RESET = "(reset)"

#: In the place of a reply: say nothing more, until the client goes away.
SILENT = "(silent)"

#: In the place of a reply: an octet now and then, and never a line end.
DRIPPING = "(dripping)"

#: In the place of a reply: one more line of a reply, again and again.
ENDLESS = "(endless)"


class Cut(str):
    """A reply that lacks its line end."""


#: A reply, several replies, or what makes them out of the command's argument (at the
#: end of the data: out of the list of accepted recipients).
Reply = Union[str, "list[str]", Callable[[Any], Union[str, "list[str]"]]]


class Message(NamedTuple):
    """A message that the server has taken."""

    #: What followed ``MAIL FROM:``, with the parameters.
    mailfrom: str
    #: The recipients that it was taken for, without their angle brackets.
    rcpttos: list[str]
    #: What was sent between DATA and the final dot, as it was sent.
    wire: bytes

    @property
    def data(self) -> bytes:
        """The message, its lines ending in CRLF."""
        return re.sub(rb"(?m)^\.", b"", self.wire)


class _Over(Exception):
    """The conversation has ended."""


class Upstream:
    """A server that answers as *script* says, and otherwise takes every message.

    :param script: replies by step: ``greeting``, a verb, ``end of data``.
    :param extensions: what EHLO (or LHLO) offers.
    :param lmtp: speak LMTP: LHLO instead of EHLO, a reply for each recipient.
    """

    def __init__(
        self,
        script: Mapping[str, Reply] | None = None,
        extensions: tuple[str, ...] = ("8BITMIME",),
        lmtp: bool = False,
    ) -> None:
        self.script = dict(script or {})
        self.extensions = extensions
        self.lmtp = lmtp
        #: Messages that were taken, oldest first.
        self.messages: list[Message] = []
        #: Connections that were accepted.
        self.connections = 0
        #: Command lines of all clients, in the order of their arrival.
        self.commands: list[str] = []
        self._lock = threading.Condition()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.address: tuple[str, int] = self._listener.getsockname()
        self._closing = False
        self._threads = [threading.Thread(target=self._accept, name="upstream")]
        self._threads[0].start()

    def verbs(self) -> list[str]:
        """The verbs of all commands."""
        return [command.split()[0].upper() for command in self.commands]

    def wait_for(self, condition: Callable[[], Any], patience: float = 60) -> None:
        """Wait until what clients have done fulfils *condition*."""
        with self._lock:
            assert self._lock.wait_for(condition, patience)

    def close(self) -> None:
        """Stop listening, end all conversations, wait for all threads."""
        self._closing = True
        socket.create_connection(self.address).close()
        self._threads[0].join()
        self._listener.close()
        with self._lock:
            for conn in self._open:
                with contextlib.suppress(OSError):
                    conn.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            conn, _ = self._listener.accept()
            if self._closing:
                conn.close()
                return
            with self._lock:
                self.connections += 1
                self._open.add(conn)
                self._lock.notify_all()
            thread = threading.Thread(target=self._serve, args=(conn,), name="upstream")
            self._threads.append(thread)
            thread.start()

    def _serve(self, conn: socket.socket) -> None:
        with conn, conn.makefile("rb") as stream:
            with contextlib.suppress(_Over, OSError):
                _Conversation(self, conn, stream).run()
            with self._lock:
                self._open.discard(conn)

    def record(self, command: str) -> None:
        """Keep a command line."""
        with self._lock:
            self.commands.append(command)
            self._lock.notify_all()

    def take(self, message: Message) -> None:
        """Keep a message."""
        with self._lock:
            self.messages.append(message)


class _Conversation:
    def __init__(self, server: Upstream, conn: socket.socket, stream: Any) -> None:
        self.server = server
        self.conn = conn
        self.stream = stream
        self.mailfrom: str | None = None
        self.rcpttos: list[str] = []

    def run(self) -> None:
        self.reply("greeting", None, "220 upstream.example ESMTP")
        while True:
            line = self.stream.readline()
            if not line.endswith(b"\r\n"):
                return
            command = line.decode("utf-8").rstrip("\r\n")
            self.server.record(command)
            verb, _, argument = command.partition(" ")
            self.command(verb.upper(), argument)

    def command(self, verb: str, argument: str) -> None:
        if verb == ("LHLO" if self.server.lmtp else "EHLO"):
            lines = ["upstream.example", *self.server.extensions]
            texts = [f"250-{text}" for text in lines[:-1]] + [f"250 {lines[-1]}"]
            self.reply("EHLO", argument, "\r\n".join(texts))
        elif verb == "HELO" and not self.server.lmtp:
            self.reply("HELO", argument, "250 upstream.example")
        elif verb == "MAIL":
            if self.reply("MAIL", argument, "250 OK")[0].startswith("2"):
                self.mailfrom, self.rcpttos = argument[len("FROM:") :], []
        elif verb == "RCPT":
            recipient = argument[len("TO:<") : argument.rindex(">")]
            if self.mailfrom is None:
                self.say(["503 MAIL comes first"])
            elif self.reply("RCPT", recipient, "250 OK")[0].startswith("2"):
                self.rcpttos.append(recipient)
        elif verb == "DATA":
            if not self.rcpttos:
                self.say(["503 no recipients"])
            elif self.reply("DATA", None, "354 go on")[0].startswith("354"):
                self.data()
        elif verb == "RSET":
            self.mailfrom, self.rcpttos = None, []
            self.reply("RSET", None, "250 OK")
        elif verb == "NOOP":
            self.reply("NOOP", None, "250 OK")
        elif verb == "QUIT":
            self.reply("QUIT", None, "221 bye")
            raise _Over
        else:
            self.say([f"500 {verb} is not for me"])

    def data(self) -> None:
        lines = [b"\r\n"]
        while not (lines[-1] == b".\r\n" and lines[-2].endswith(b"\r\n")):
            line = self.stream.readline()
            if not line:
                raise _Over
            lines.append(line)
        wire = b"".join(lines)
        mailfrom, self.mailfrom = self.mailfrom, None
        accepted, self.rcpttos = self.rcpttos, []
        default: Reply = "250 taken"
        if self.server.lmtp:
            default = [f"250 taken for {recipient}" for recipient in accepted]
        replies = self.wanted("end of data", accepted, default)
        if self.server.lmtp and len(replies) > 1:
            verdicts = replies
        else:
            verdicts = replies[:1] * len(accepted)
        taken = [to for to, reply in zip(accepted, verdicts) if reply.startswith("2")]
        if taken:
            self.server.take(Message(mailfrom or "", taken, wire[2:-3]))
        self.say(replies)

    def reply(self, step: str, argument: Any, default: Reply) -> list[str]:
        replies = self.wanted(step, argument, default)
        self.say(replies)
        return replies

    def wanted(self, step: str, argument: Any, default: Reply) -> list[str]:
        reply = self.server.script.get(step, default)
        if callable(reply):
            reply = reply(argument)
        if reply is None:
            reply = default
        return [reply] if isinstance(reply, str) else list(reply)

    def say(self, replies: list[str]) -> None:
        said = [reply for reply in replies if not reply.startswith("(")]
        ends = ["" if isinstance(reply, Cut) else "\r\n" for reply in said]
        if said:
            text = "".join(reply + end for reply, end in zip(said, ends))
            self.conn.sendall(text.encode("utf-8", "surrogateescape"))
        if RESET in replies:
            at_once = struct.pack("ii", 1, 0)
            self.conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        if CLOSE in replies or RESET in replies:
            raise _Over
        pause = threading.Event()
        while DRIPPING in replies:  # until the client goes away
            self.conn.sendall(b"x")
            pause.wait(0.01)
        while ENDLESS in replies:
            self.conn.sendall(b"250-and\r\n" * 100)
        if SILENT in replies:
            while self.stream.read(1):
                pass
            raise _Over


@contextlib.contextmanager
def upstream(
    script: Mapping[str, Reply] | None = None, **kwargs: Any
) -> Iterator[Upstream]:
    """Run an `Upstream` for as long as a ``with`` block."""
    server = Upstream(script, **kwargs)
    try:
        yield server
    finally:
        server.close()


class Refusing:
    """A script for RCPT: refuse the recipients with these local parts."""

    def __init__(self, **replies: str) -> None:
        self.replies = replies

    def __repr__(self) -> str:
        return f"{self.replies}"

    def __call__(self, recipient: str) -> Any:
        """The reply for *recipient*, None for the usual one."""
        return self.replies.get(recipient.partition("@")[0])


class Turns:
    """A script's step whose replies come in this order, then the usual ones."""

    def __init__(self, *replies: Any) -> None:
        self.replies = list(replies)
        self.lock = threading.Lock()

    def __call__(self, argument: Any) -> Any:
        with self.lock:
            return self.replies.pop(0) if self.replies else None


@contextlib.contextmanager
def nobody_listening() -> Iterator[tuple[str, int]]:
    """An address where no server is, and where none will be during the block."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()
