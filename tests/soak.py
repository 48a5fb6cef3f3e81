"""Does anything grow?  ``python -m tests.soak --minutes 10``, on Linux.

A process with four servers (a handler that fails now and then, the same in threads, a
DebuggingServer, a PureProxy) meets all kinds of clients at once.  Meanwhile it may have
64 descriptors only and then many again, the relay's upstream server goes and comes
back, and half way nobody reads its standard output any more.  Its memory, threads and
descriptors are looked at before and after, when it has nothing to do.  Exit status 1
says that something grew, or that the process ended.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import random
import resource
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

SERVER = """
import random, sys
import smtpd_compat as smtpd

class Fails(smtpd.SMTPServer):
    idle_timeout = 3
    connection_limit = 200
    def process_message(self, *args, **kwargs):
        outcome = random.random()
        if outcome < 0.1:
            raise ValueError("a mistake")
        if outcome < 0.15:
            return 250
        if outcome < 0.2:
            return "554 no"

class FailsInThreads(Fails):
    worker_threads = 8
    def process_message(self, *args, **kwargs):
        return super().process_message(*args, **kwargs)

class Shows(smtpd.DebuggingServer):
    idle_timeout = 3

class Relays(smtpd.PureProxy):
    idle_timeout = 3
    upstream_timeout = 5

servers = [
    cls(("127.0.0.1", 0), ("127.0.0.1", int(sys.argv[1])))
    for cls in (Fails, FailsInThreads, Shows, Relays)
]
print(*[server.socket.getsockname()[1] for server in servers], flush=True)
smtpd.loop()
"""

HELLO = b"EHLO soak\r\n"
MESSAGE = b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nA: b\r\n\r\n%s\r\n.\r\n"

#: Megabytes by which memory may differ between two looks: the allocator keeps some.
SLACK = 8.0


class Figures:
    """What a process has."""

    def __init__(self, pid: int) -> None:
        with open(f"/proc/{pid}/status") as lines:
            status = dict(line.rstrip("\n").split(":", 1) for line in lines)
        self.memory = int(status["VmRSS"].split()[0]) / 1000
        self.threads = int(status["Threads"])
        self.descriptors = len(os.listdir(f"/proc/{pid}/fd"))

    def __str__(self) -> str:
        return (
            f"{self.memory:.1f} MB, {self.threads} threads,"
            f" {self.descriptors} descriptors"
        )


class Upstream:
    """Takes mail, a session after the other in threads, unless it is down."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        self._listening: Any = None

    def up(self) -> None:
        if self._listening is None:
            self._listening = socket.create_server(("127.0.0.1", self.port))
            threading.Thread(
                target=self._listen, args=(self._listening,), daemon=True
            ).start()

    def down(self) -> None:
        if self._listening is not None:
            self._listening.shutdown(socket.SHUT_RDWR)
            self._listening.close()
            self._listening = None

    def _listen(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                conn, _ = listening.accept()
                threading.Thread(target=self._talk, args=(conn,), daemon=True).start()

    def _talk(self, conn: socket.socket) -> None:
        with conn, conn.makefile("rb") as lines, contextlib.suppress(OSError):
            conn.settimeout(20)
            conn.sendall(b"220 upstream\r\n")
            in_data = False
            for line in lines:
                if in_data:
                    in_data = line != b".\r\n"
                    if in_data:
                        continue
                elif line[:4].upper() == b"DATA":
                    in_data = True
                    conn.sendall(b"354 go on\r\n")
                    continue
                if random.random() < 0.03:
                    return  # it fails, at any step
                conn.sendall(b"250 OK\r\n")


# Clients


def talk(client: socket.socket) -> str:
    """What one client does; what became of it."""
    kind = random.random()
    client.settimeout(5)
    if kind < 0.4:
        for _ in range(random.randrange(1, 4)):
            client.sendall(HELLO + MESSAGE % b"text" + b"RSET\r\n")
        client.sendall(b"QUIT\r\n")
        while client.recv(65536):
            pass
        return "pipelined"
    if kind < 0.55:
        client.recv(1000)
        for line in (HELLO + MESSAGE % b"text").split(b"\r\n")[:-1]:
            client.sendall(line + b"\r\n")
            if random.random() < 0.3:
                time.sleep(0.01)
        client.recv(1000)
        return "line by line"
    if kind < 0.65:
        client.sendall(HELLO + MESSAGE % (b"abc\r\n" * 100000))
        client.shutdown(socket.SHUT_WR)
        while client.recv(65536):
            pass
        return "bulky"
    if kind < 0.75:
        client.sendall(HELLO + MESSAGE[: random.randrange(len(MESSAGE))])
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return "vanished"
    if kind < 0.85:
        client.sendall(random.getrandbits(80000).to_bytes(10000, "big") + b"\r\n")
        client.recv(1000)
        return "garbage"
    if kind < 0.9:
        client.sendall(b"HELP\r\n" * 20000)
        time.sleep(random.random())
        return "reads nothing"
    time.sleep(random.random() * 4)
    return "idle"


def come_and_go(ports: list[int], until: float, outcomes: Any) -> None:
    """One client after the other."""
    while time.monotonic() < until:
        try:
            port = random.choice(ports)
            with socket.create_connection(("127.0.0.1", port)) as client:
                outcomes[talk(client)] += 1
        except (OSError, ValueError) as error:
            outcomes[type(error).__name__] += 1


@contextlib.contextmanager
def reading(stream: Any) -> Iterator[None]:
    """Read *stream* while the block runs, then close it."""
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            if select.select([stream], [], [], 0.2)[0] and not stream.read1(65536):
                return

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    yield
    done.set()
    thread.join()
    stream.close()


def phase(server: Any, upstream: Upstream, ports: list[int], seconds: float) -> str:
    """Clients for so many seconds, while descriptors and upstream come and go."""
    outcomes: Any = collections.Counter()
    until = time.monotonic() + seconds
    threads = [
        threading.Thread(target=come_and_go, args=(ports, until, outcomes))
        for _ in range(90)
    ]
    for thread in threads:
        thread.start()
    step = 0
    while time.monotonic() < until and server.poll() is None:
        step += 1
        few = step % 2
        _, hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        limit = min(64 if few else 4096, hard)
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (limit, hard))
        if step % 3:
            upstream.up()
        else:
            upstream.down()
        time.sleep(min(3.0, max(0.0, until - time.monotonic())))
    for thread in threads:
        thread.join()
    upstream.up()
    time.sleep(8)  # idle clients, and sessions with upstream, have left by then
    return ", ".join(f"{count} {what}" for what, count in sorted(outcomes.items()))


def main() -> int:
    """Run it; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak",
        description=(__doc__ or "").partition("\n")[0],
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="10 unless given")
    seconds = 60 * parser.parse_args().minutes
    upstream = Upstream()
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(upstream.port)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert server.stdout is not None
    try:
        ports = [int(port) for port in server.stdout.readline().split()]
        with reading(server.stdout):
            print("warm up:", phase(server, upstream, ports, seconds / 10), flush=True)
            before = Figures(server.pid)
            print("before:", before, flush=True)
            print("clients:", phase(server, upstream, ports, seconds * 0.45))
            print("half way:", Figures(server.pid), flush=True)
        print("clients:", phase(server, upstream, ports, seconds * 0.45))
        after = Figures(server.pid)
        print("after: ", after, flush=True)
    finally:
        status = server.poll()
        server.kill()
        server.wait()
    if status is not None:
        print(f"the server ended with status {status}")
        return 1
    return int(
        after.memory > before.memory + SLACK
        or after.threads > before.threads
        or after.descriptors > before.descriptors
    )


if __name__ == "__main__":
    sys.exit(main())
