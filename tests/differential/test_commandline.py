"""The command line does what the original's does: options, output, exit status."""

from __future__ import annotations

import re
import signal
import smtplib
import socket
import subprocess
import sys

import pytest

from ..functional.processes import end, start
from . import original

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_OURS = (sys.executable, "-m", "smtpd_compat")

#: Ends, and says why, before anything is listened on.
_USAGE = (
    "-h",
    "--help",
    "-V",
    "--version",
    "-n -V",
    "-nV",
    "-V -h",
    "-h -V",
    "-d -V",
    "-u --version",
    "--ver",
    "--nosetuid --version",
    "-c Nothing -V",
    "-s 10 -V",
    "-x",
    "--what",
    "--s",
    "-s",
    "-c",
    "--class",
    "--size",
    "-s ten",
    "--size=ten",
    "-s 1.5",
    "-s 1 -s x",
    "localhost:1 localhost:2 three",
    "localhost",
    "localhost:x",
    "localhost:1:2",
    ":x",
    "localhost:8025 remote",
    "localhost:8025 remote:x",
    "localhost:8025 remote:1:2",
    "-n -u -c DebuggingServer localhost",
)

#: Where the original ends in a traceback, ours in one line.
_NOT_STARTED = (
    "-n -c Nothing localhost:0",
    "-n -c no.module.Nothing localhost:0",
    "-n -c os.Nothing localhost:0",
    "-n -c DebuggingServer 192.0.2.1:0",
    "-n -c DebuggingServer localhost:99999",
)


@pytest.fixture(scope="module")
def theirs() -> tuple[str, ...]:
    interpreter = original.interpreter()
    if interpreter is None:
        pytest.skip("no interpreter from 3.8 to 3.11 at hand, which had smtpd")
    return (interpreter,) + original.AS_PROGRAM


@pytest.mark.parametrize("arguments", _USAGE)
def test_usage_is_the_original_s(theirs: tuple[str, ...], arguments: str) -> None:
    """All but the sentences of the help, which are each program's own."""
    assert _run_without_help(_OURS, arguments) == _run_without_help(theirs, arguments)


@pytest.mark.parametrize(
    "facts",
    [
        r"^Usage: .*",
        r"^Version: .*",
        r"(?<!\S)--?\w+",  # the options
        r"\b(?:8025|25|33554432|PureProxy|localhost|nobody)\b",  # the defaults
    ],
)
def test_the_help_gives_the_same_facts(theirs: tuple[str, ...], facts: str) -> None:
    expected = set(re.findall(f"(?m){facts}", _run(theirs, "-h")["stderr"]))
    assert expected
    assert set(re.findall(f"(?m){facts}", _run(_OURS, "-h")["stderr"])) == expected


@pytest.mark.parametrize("arguments", _NOT_STARTED)
def test_a_server_that_cannot_start_ends_with_one_line_and_the_original_s_status(
    theirs: tuple[str, ...], arguments: str
) -> None:
    expected = _run(theirs, arguments)
    found = _run(_OURS, arguments)
    assert found["status"] == expected["status"] == 1
    assert "Traceback" in expected["stderr"]
    assert found["stderr"].count("\n") == 1
    assert found["stdout"] == expected["stdout"] == ""


@pytest.mark.parametrize(
    "options", ["", "-d", "-s 5000", "--debug -s 0", "--smtputf8 -c SMTPServer"]
)
def test_a_session_with_the_program_is_as_with_the_original_s(
    theirs: tuple[str, ...], options: str
) -> None:
    if "-c" not in options:
        options += " -c DebuggingServer"
    expected = options
    if "-s" not in options.split():
        # What the original says its default is.
        expected += " -s 33554432"
    assert _serve(_OURS, options) == _serve(theirs, expected)


def _run(program: tuple[str, ...], arguments: str) -> dict[str, Any]:
    done = end(start([*program, *arguments.split()]))
    return {**done._asdict(), "stderr": _anonymous(done.stderr)}


def _run_without_help(program: tuple[str, ...], arguments: str) -> dict[str, Any]:
    ended = _run(program, arguments)
    said = ended["stderr"].replace(_run(program, "-h")["stderr"], "HELP\n")
    # getopt lists them since 3.14.
    ended["stderr"] = re.sub("(prefix); possible options: size=, smtputf8", r"\1", said)
    return ended


def _anonymous(text: str) -> str:
    """*text* without the program's name, which is a path."""
    return re.sub(r"(?m)^Usage: \S+", "Usage: PROGRAM", text)


def _serve(program: tuple[str, ...], options: str) -> dict[str, Any]:
    """Start the program, give it a message, interrupt it; everything it said."""
    while True:
        port = _free_port()
        command = [*program, "-n", *options.split(), f"127.0.0.1:{port}"]
        process = start(command)
        client = _connected(port, process)
        said = [] if client is None else _session(client)
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        done = end(process)
        if "Address already in use" not in done.stderr:
            break  # else another test was faster
    stderr = re.sub(r"started at .*|\d+\)", "SOME TIME OR PORT", done.stderr)
    return {**done._asdict(), "said": said, "stderr": stderr}


def _connected(port: int, process: subprocess.Popen[str]) -> smtplib.SMTP | None:
    """A client of *process*, None if that has ended."""
    while process.poll() is None:
        try:
            return smtplib.SMTP("127.0.0.1", port, "client.example", timeout=60)
        except ConnectionRefusedError:
            pass
    return None


def _session(client: smtplib.SMTP) -> list[Any]:
    said: list[Any] = [client.ehlo()]
    said.append(client.docmd("MAIL", "FROM:<a@b> SIZE=100"))
    said.append(client.docmd("RCPT", "TO:<c@d>"))
    said.append(client.docmd("HELP", "MAIL"))
    said.append(client.rset())
    said.append(client.mail("e@f"))
    said.append(client.rcpt("g@h"))
    said.append(client.docmd("NOOP"))
    said.append(client.quit())
    return [
        (code, re.sub(rb"^\S+", b"HOST", text) if code == 250 else text)
        for code, text in said
    ]


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
