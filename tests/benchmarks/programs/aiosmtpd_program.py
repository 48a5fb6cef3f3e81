"""The same program for ``aiosmtpd``, without a thread that would only cost."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

SMTP: Any = importlib.import_module("aiosmtpd.smtp").SMTP


class CountingHandler:
    """Accepts every message and keeps none."""

    messages = 0

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.messages += 1
        return "250 OK"


async def serve() -> None:
    """Print the port and serve."""
    handler = CountingHandler()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(handler), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(serve())
