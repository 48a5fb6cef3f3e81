"""What is measured, and how each of it is started."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from tests.benchmarks.environments import (
    ASYNCORE,
    ROOT,
    Missing,
    clean_environment,
    environment,
)
from tests.functional.processes import reserved_port

PROGRAMS = "tests.benchmarks.programs."

#: Seconds that a server may need to start.
PATIENCE = 30.0


@dataclass(frozen=True)
class Server:
    """One column of the comparison.

    Commands are arguments for the interpreter, or for *executable* where that is
    another program; ``{port}`` in one stands for a port which is chosen beforehand,
    otherwise the server prints the one that it got.  An empty command: not measured
    in that role.
    """

    name: str
    title: str
    version: str = ""
    requirements: tuple[str, ...] = ()
    executable: str = ""
    program: tuple[str, ...] = ()
    program_with_threads: tuple[str, ...] = ()
    relay: tuple[str, ...] = ()
    relay_pipelining: tuple[str, ...] = ()
    relay_slowly: tuple[str, ...] = ()
    command_line: tuple[str, ...] = ()
    debugging: tuple[str, ...] = ()
    show_version: tuple[str, ...] = ()
    import_only: tuple[str, ...] = ()
    import_server: tuple[str, ...] = ()

    def argv(self, role: str) -> list[str]:
        """The command for *role*: the name of one of the command fields.

        :raises Missing: if something that it needs is not there.
        """
        command: tuple[str, ...] = getattr(self, role)
        return [self._executable(), *command] if command else []

    def _executable(self) -> str:
        if not self.executable:
            return environment(self.version, *self.requirements)
        found = shutil.which(self.executable, path=os.environ["PATH"] + ":/usr/sbin")
        if not found:
            raise Missing(f"no {self.executable}")
        return found


def _relays(module: str) -> dict[str, tuple[str, ...]]:
    """How *module* relays: to a server, to one with PIPELINING, and to a slow one."""
    program = ("-m", PROGRAMS + "relay_program", module)
    return {
        "relay": (*program, "0", "8BITMIME"),
        "relay_pipelining": (*program, "0", "8BITMIME", "PIPELINING"),
        "relay_slowly": (*program, "0.5", "8BITMIME"),
    }


def _smtpd(name: str, title: str, module: str, version: str, **more: Any) -> Server:
    """Something with the interface of ``smtpd``."""
    counting = PROGRAMS + "counting.CountingServer"
    debugging = ("-n", "-c", "DebuggingServer", "127.0.0.1:{port}")
    program = ("-m", PROGRAMS + "asyncore_program", module)
    return Server(
        name,
        title,
        version,
        program=program,
        program_with_threads=(*program, "4") if module == "smtpd_compat" else (),
        import_only=("-c", f"import {module}"),
        import_server=("-c", f"from {module} import SMTPServer"),
        **{
            **_relays(module),
            "command_line": ("-m", module, "-n", "-c", counting, "127.0.0.1:{port}"),
            "debugging": ("-m", module, *debugging),
            "show_version": ("-m", module, "-V"),
            **more,
        },
    )


def _aiosmtpd(version: str) -> Server:
    handler = "aiosmtpd.handlers.Sink"
    return Server(
        f"aiosmtpd-{version}",
        f"aiosmtpd, {version}",
        version,
        ("aiosmtpd",),
        program=("-m", PROGRAMS + "aiosmtpd_program"),
        command_line=("-m", "aiosmtpd", "-n", "-l", "127.0.0.1:{port}", "-c", handler),
        show_version=("-m", "aiosmtpd", "--version"),
        **_relays("aiosmtpd"),
        import_only=("-c", "import aiosmtpd.controller"),
        import_server=("-c", "import aiosmtpd.controller"),
    )


def _do_nothing(version: str, requirements: tuple[str, ...] = ()) -> Server:
    """The floor; in the rows of starting, what the interpreter and asyncore take."""
    return Server(
        f"do-nothing-{version}",
        f"do-nothing asyncore server, {version}",
        version,
        requirements,
        program=("-m", PROGRAMS + "do_nothing"),
        show_version=("-c", "pass"),
        import_only=("-c", "import asyncore, asynchat"),
        import_server=("-c", "import asyncore, asynchat"),
    )


def _smtp_sink() -> Server:
    # It refuses to run as root unless told as whom else.
    user = ("-u", "nobody") if os.geteuid() == 0 else ()
    command = (*user, "-m", "10000", "127.0.0.1:{port}", "4096")
    return Server(
        "smtp-sink",
        "postfix's smtp-sink",
        executable="smtp-sink",
        program=command,
        command_line=command,
    )


SERVERS = [
    _smtpd("package-3.11", "smtpd_compat, 3.11", "smtpd_compat", "3.11"),
    _smtpd(
        "package-3.13",
        "smtpd_compat, 3.13",
        "smtpd_compat",
        "3.13",
        requirements=ASYNCORE,
    ),
    _smtpd("original-3.11", "smtpd, 3.11", "smtpd", "3.11"),
    # A package without a __main__: `python -m smtpd` does not run it.
    _smtpd(
        "standard-smtpd-3.13",
        "standard-smtpd, 3.13",
        "smtpd",
        "3.13",
        requirements=("standard-smtpd",),
        command_line=(),
        debugging=(),
        show_version=(),
    ),
    _aiosmtpd("3.13"),
    _aiosmtpd("3.11"),
    _do_nothing("3.11"),
    _do_nothing("3.13", ASYNCORE),
    _smtp_sink(),
]

#: This package on the interpreter that runs the benchmark; needs nothing installed.
HERE = Server(
    "package-here",
    "smtpd_compat, this interpreter",
    executable=sys.executable,
    program=SERVERS[0].program,
    program_with_threads=SERVERS[0].program_with_threads,
    **_relays("smtpd_compat"),
    command_line=SERVERS[0].command_line,
    debugging=SERVERS[0].debugging,
    show_version=SERVERS[0].show_version,
    import_only=SERVERS[0].import_only,
    import_server=SERVERS[0].import_server,
)


@dataclass
class Running:
    """A server that serves, or did."""

    process: subprocess.Popen[bytes]
    port: int
    errors: IO[bytes]

    def last_words(self) -> str:
        """The last line on standard error of a process that has ended; else nothing."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            # A server may have closed its sockets and not yet be gone.
            self.process.wait(timeout=1)
            self.errors.seek(0)
            written = self.errors.read().decode(errors="replace").strip()
            return written.rpartition("\n")[2] or "without a word"
        return ""


class DidNotStart(Exception):
    """The text is the last line that the server wrote to standard error."""


@contextlib.contextmanager
def running(argv: list[str]) -> Iterator[Running]:
    """Run a server process for as long as the block.

    :raises DidNotStart: if it does not get as far as listening.
    """
    with contextlib.ExitStack() as cleanup:
        port = 0
        if any("{port}" in argument for argument in argv):
            port = cleanup.enter_context(reserved_port("127.0.0.1"))
        errors = cleanup.enter_context(tempfile.TemporaryFile())
        process = subprocess.Popen(
            [argument.format(port=port) for argument in argv],
            cwd=ROOT,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if port else subprocess.PIPE,
            stderr=errors,
        )
        cleanup.callback(_stop, process)
        server = Running(process, port, errors)
        if port:
            serves = _wait_for_greeting(process, port)
        else:
            server.port = _printed_port(process)
            serves = bool(server.port)
        if not serves:
            raise DidNotStart(server.last_words() or f"within {PATIENCE:.0f} s")
        yield server


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    if process.stdout:
        process.stdout.close()


def _printed_port(process: subprocess.Popen[bytes]) -> int:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], PATIENCE)
    return int(process.stdout.readline() or 0) if ready else 0


def _wait_for_greeting(process: subprocess.Popen[bytes], port: int) -> bool:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.returncode is None:
        if _greets(port):
            return True
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.005)
    return False


def _greets(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
            return client.recv(4).startswith(b"220")
    except OSError:
        return False
