"""The floor that asyncore and the system calls set: right replies, and no more.

It looks at the first letter of a command, keeps nothing and checks nothing.  Nobody
should run such a server; nobody can write a faster one on asyncore.
"""

from __future__ import annotations

import socket
import warnings
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import asyncore

OK = b"250 OK\r\n"
REPLIES = {
    b"e": b"250-localhost\r\n250-SIZE 33554432\r\n250-8BITMIME\r\n250 HELP\r\n",
    b"h": b"250 localhost\r\n",
    b"d": b"354 End data with <CR><LF>.<CR><LF>\r\n",
    b"q": b"221 Bye\r\n",
}


class Conversation(asyncore.dispatcher):
    """One client; its commands are whole lines, as our load generator sends them."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(connection)
        self.in_data = False
        self.tail = b""
        self.unsent = b"220 localhost\r\n"
        self.handle_write()

    def writable(self) -> bool:
        return bool(self.unsent)

    def handle_write(self) -> None:
        self.unsent = self.unsent[self.send(self.unsent) :]

    def handle_read(self) -> None:
        received = self.recv(65536)
        if not received:
            return
        if self.in_data:
            self.tail = self.tail[-4:] + received[-5:]
            if not self.tail.endswith(b"\r\n.\r\n"):
                return
            self.in_data, self.tail = False, b""
            self.unsent += OK
        else:
            *lines, self.tail = (self.tail + received).split(b"\r\n")
            self.unsent += b"".join([REPLIES.get(line[:1], OK) for line in lines])
            self.in_data = lines[-1:] == [b"data"]
        self.handle_write()
        if received.startswith(b"quit"):
            self.close()


class Server(asyncore.dispatcher):
    """Takes every client."""

    def __init__(self, listening: socket.socket) -> None:
        super().__init__(listening)
        self.accepting = True

    def handle_accepted(self, connection: socket.socket, address: Any) -> None:
        Conversation(connection)


listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
print(listening.getsockname()[1], flush=True)
Server(listening)
asyncore.loop(use_poll=True)
