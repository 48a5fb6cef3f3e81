"""``python -m smtpd_compat`` as a process of its own."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]

#: The command under test.
COMMAND = [sys.executable, "-m", "smtpd_compat"]

#: The same, where any warning is a fault.
STRICT_COMMAND = [sys.executable, "-W", "error", "-m", "smtpd_compat"]

#: Seconds after which a process counts as hung.
PATIENCE = 60


class Ended(NamedTuple):
    """What was left to see of a process."""

    status: int
    stdout: str
    stderr: str


def interruptible() -> None:
    """Let SIGINT end the child, also where a shell started us in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(
    command: list[str], cwd: Path = ROOT, **options: Any
) -> subprocess.Popen[str]:
    """Start *command* in the folder *cwd*, its output in pipes, its input empty."""
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    environment.pop("PYTHONUNBUFFERED", None)
    if cwd != ROOT:
        path = [str(ROOT), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, path))
    if os.name == "posix":
        options.setdefault("preexec_fn", interruptible)
    return subprocess.Popen(
        command,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        encoding="utf-8",
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )


def end(process: subprocess.Popen[str]) -> Ended:
    """Wait for the process to end by itself, and collect its output."""
    try:
        stdout, stderr = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired as expired:
        process.kill()
        stdout, stderr = process.communicate()
        raise AssertionError(f"still running after {stdout!r}, {stderr!r}") from expired
    return Ended(process.returncode, stdout, stderr)


def run(*arguments: str, command: list[str] = STRICT_COMMAND) -> Ended:
    """Run ``python -m smtpd_compat`` with *arguments*, to its own end."""
    return end(start([*command, *arguments]))


class Server:
    """A server process that has greeted a client."""

    def __init__(self, process: subprocess.Popen[str], host: str, port: int) -> None:
        self.process = process
        self.host = host
        self.port = port
        self._seen = b""

    def seen_after(self, text: str, times: int = 1) -> str:
        """The standard output so far, once it has *text* so often."""
        assert self.process.stdout is not None
        descriptor = self.process.stdout.fileno()
        wanted = text.encode()
        while self._seen.count(wanted) < times:
            ready, _, _ = select.select([descriptor], [], [], PATIENCE)
            assert ready, f"{text!r} has not been printed; {self._seen!r} has"
            piece = os.read(descriptor, 65536)
            assert piece, f"the process ended without printing {text!r}"
            self._seen += piece
        return self._seen.decode()

    def stop(self, signum: int = signal.SIGTERM) -> Ended:
        """Send a signal, wait for the end, and collect the whole output."""
        self.process.send_signal(signum)
        ended = end(self.process)
        return ended._replace(stdout=self._seen.decode() + ended.stdout)


@contextlib.contextmanager
def reserved_port(host: str) -> Iterator[int]:
    """A port of *host* that nobody else is given while the block runs."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as reservation:
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reservation.bind((host, 0))
        port = reservation.getsockname()[1]
        if not sys.platform.startswith("linux"):
            # Only Linux lets a server listen where another socket is bound.
            reservation.close()
        yield port


@contextlib.contextmanager
def server_process(
    *arguments: str,
    host: str = "127.0.0.1",
    remote: str | None = None,
    command: list[str] = STRICT_COMMAND,
    **options: Any,
) -> Iterator[Server]:
    """Run ``python -m smtpd_compat *arguments host:port [remote]``, with a free port.

    Yields a `Server` once it greets its clients; kills it at the end if it still runs.
    """
    spec = f"[{host}]" if ":" in host else host
    with reserved_port(host) as port:
        specs = [f"{spec}:{port}"] + ([remote] if remote else [])
        words = [*command, *arguments, *specs]
        with serving_process(words, host, port, **options) as server:
            yield server


@contextlib.contextmanager
def serving_process(
    command: list[str], host: str, port: int, **options: Any
) -> Iterator[Server]:
    """Run *command*, which serves on that address.

    Yields a `Server` once it greets its clients; kills it at the end if it still runs.
    """
    process = start(command, **options)
    try:
        _wait_for_greeting(process, host, port)
        yield Server(process, host, port)
    finally:
        if process.returncode is None:
            process.kill()
            end(process)


def _wait_for_greeting(process: subprocess.Popen[str], host: str, port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            with socket.create_connection((host, port), PATIENCE) as client:
                assert client.recv(4).startswith(b"220")
                client.shutdown(socket.SHUT_WR)
                # Until the server has closed its end, a signal would meet it at that.
                while client.recv(4096):
                    pass
                return
        except ConnectionRefusedError:
            pass
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.01)
            raise AssertionError(f"did not start: {end(process)}")
    raise AssertionError("does not listen")
