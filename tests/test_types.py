"""A user's program passes ``mypy --strict``, with and without types for asyncore."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import smtpd_compat

pytest.importorskip("mypy", reason="mypy is not installed")

PROGRAM = """\
from __future__ import annotations

from typing import Any

import smtpd_compat as smtpd


class Channel(smtpd.SMTPChannel):
    user: str | None = None

    def smtp_AUTH(self, arg: str | None) -> None:
        self.user = arg
        self.push("235 Authentication successful")

    def smtp_EHLO(self, arg: str | None) -> None:
        super().smtp_EHLO(arg)
        if self.seen_greeting and self.extended_smtp:
            print(self.peer, self.fqdn, self.mailfrom, self.rcpttos)

    def collect_incoming_data(self, data: bytes) -> None:
        super().collect_incoming_data(data)

    def found_terminator(self) -> None:
        print(self.received_lines, self.smtp_state == self.DATA)
        super().found_terminator()

    def push(self, msg: str | bytes) -> None:
        super().push(msg)


class Server(smtpd.SMTPServer):
    channel_class = Channel
    idle_timeout = 300.0
    worker_threads = 4

    def process_message(
        self,
        peer: Any,
        mailfrom: str,
        rcpttos: list[str],
        data: bytes | str,
        **kwargs: Any,
    ) -> str | None:
        print(len(data), kwargs["mail_options"])
        return "250 Taken" if rcpttos else None


class AsTypeshedHasIt(smtpd.SMTPChannel):
    def smtp_HELO(self, arg: str) -> None:
        super().smtp_HELO(arg)


class TakesBytes(smtpd.SMTPServer):
    def process_message(
        self,
        peer: tuple[str, int],
        mailfrom: str,
        rcpttos: list[str],
        data: bytes,
        **kwargs: Any,
    ) -> None:
        print(peer[0], data.decode())


class Relay(smtpd.PureProxy):
    upstream_timeout = 10.0


map: dict[int, Any] = {}
server: smtpd.SMTPServer = Server(("localhost", 0), None, map=map)
Relay(("localhost", 0), ("mail.example.org", 25), data_size_limit=None)
smtpd.DEBUGSTREAM = open("trace.txt", "w")
smtpd.install_as_smtpd()
smtpd.loop(timeout=1.0, map=map, count=1)
server.close()
"""


def check(folder: Path, program: str, version: str) -> str:
    """What mypy says of *program*, with this package found as an installed one is."""
    source = folder / "program.py"
    source.write_text(program)
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--python-version", version]
        + ["--config-file", "", "--cache-dir", str(folder / "cache"), str(source)],
        cwd=folder,
        env={"PYTHONPATH": str(Path(smtpd_compat.__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    ).stdout


@pytest.mark.parametrize("version", ["3.11", "3.13"])
def test_a_users_program_passes_mypy_strict(tmp_path: Path, version: str) -> None:
    assert check(tmp_path, PROGRAM, version).startswith("Success")


@pytest.mark.parametrize("version", ["3.11", "3.13"])
def test_mypy_finds_a_users_mistakes(tmp_path: Path, version: str) -> None:
    program = PROGRAM.replace("idle_timeout = 300.0", "idle_timeout = 'long'")
    program = program.replace("smtp_EHLO(self, arg: str | None)", "smtp_EHLO(self)")
    program = program.replace("rcpttos: list[str]", "rcpttos: str", 1)
    program += "smtpd.SMTPSever\n"
    said = check(tmp_path, program, version)
    for mistake in (
        "assignment",
        'has no attribute "SMTPSever"',
        '"smtp_EHLO"',
        'Argument 3 of "process_message"',
    ):
        assert mistake in said
