"""What the relays send their mail to: right replies, and no more.

Its arguments: the seconds after which it takes a message, and the extensions that it
offers.  It ends with its standard input.
"""

from __future__ import annotations

import asyncio
import sys

DELAY = float(sys.argv[1])
OFFERS = [b"localhost", *map(str.encode, sys.argv[2:])]
EHLO = (
    b"".join(b"250-%b\r\n" % line for line in OFFERS[:-1]) + b"250 %b\r\n" % OFFERS[-1]
)
REPLIES = {b"ehlo": EHLO, b"data": b"354 go on\r\n", b"quit": b"221 bye\r\n"}


class Conversation(asyncio.Protocol):
    """One client."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.unread = b""
        self.in_data = False
        transport.write(b"220 localhost\r\n")

    def data_received(self, data: bytes) -> None:
        if self.in_data:
            self.unread = self.unread[-4:] + data
            if self.unread.endswith(b"\r\n.\r\n"):
                self.unread = b""
                self.in_data = False
                if DELAY:
                    loop = asyncio.get_running_loop()
                    loop.call_later(DELAY, self.transport.write, b"250 taken\r\n")
                else:
                    self.transport.write(b"250 taken\r\n")
            return
        *lines, self.unread = (self.unread + data).split(b"\r\n")
        verbs = [line[:4].lower() for line in lines]
        self.transport.write(
            b"".join(REPLIES.get(verb, b"250 OK\r\n") for verb in verbs)
        )
        self.in_data = verbs[-1:] == [b"data"]
        if verbs[-1:] == [b"quit"]:
            self.transport.close()


async def serve() -> None:
    """Print the port, and serve."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Conversation, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(serve())
