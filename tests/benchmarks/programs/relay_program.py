"""A relay; its argument is ``smtpd``, ``smtpd_compat`` or ``aiosmtpd``.

The others are those of `tests.benchmarks.programs.upstream`, which it starts.
"""

from __future__ import annotations

import asyncio
import importlib
import subprocess
import sys
import warnings
from typing import Any

HERE = ("127.0.0.1", 0)


def start_upstream(*arguments: str) -> tuple[str, int]:
    """Start an upstream server, which ends when this process does."""
    command = [sys.executable, "-m", "tests.benchmarks.programs.upstream", *arguments]
    started = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert started.stdout is not None
    return "127.0.0.1", int(started.stdout.readline())


def relay_with_smtpd(smtpd: Any, upstream: tuple[str, int]) -> None:
    """The original cannot relay without *decode_data*."""
    if hasattr(smtpd, "loop"):
        server = smtpd.PureProxy(HERE, upstream)
        print(server.socket.getsockname()[1], flush=True)
        smtpd.loop()
    else:
        server = smtpd.PureProxy(HERE, upstream, decode_data=True)
        print(server.socket.getsockname()[1], flush=True)
        smtpd.asyncore.loop(use_poll=True)


async def relay_with_aiosmtpd(upstream: tuple[str, int]) -> None:
    """By its own handler for that."""
    handlers: Any = importlib.import_module("aiosmtpd.handlers")
    smtp: Any = importlib.import_module("aiosmtpd.smtp")
    loop = asyncio.get_running_loop()
    proxy = handlers.Proxy(*upstream)
    server = await loop.create_server(
        lambda: smtp.SMTP(proxy, timeout=60), *HERE, backlog=1024
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    warnings.simplefilter("ignore", DeprecationWarning)
    name, *arguments = sys.argv[1:]
    address = start_upstream(*arguments)
    if name == "aiosmtpd":
        asyncio.run(relay_with_aiosmtpd(address))
    else:
        relay_with_smtpd(importlib.import_module(name), address)
