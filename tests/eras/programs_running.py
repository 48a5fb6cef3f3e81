"""Run one of the programs of old in a process of its own, and hear what it says."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
PROGRAMS = HERE / "programs"

_WARNING = re.compile(r"^(.+?):(\d+): DeprecationWarning: (.*)$", re.MULTILINE)


class Running:
    """A program that runs; what it printed can be read once it has ended."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.address = ("127.0.0.1", port)
        self.process = process
        #: The lines that it printed.
        self.printed: list[str] = []
        #: What it wrote on standard error.
        self.errors = ""

    @property
    def warnings(self) -> list[tuple[str, int, str]]:
        """The DeprecationWarnings: file, line and text."""
        return [
            (os.path.basename(filename), int(line), text)
            for filename, line, text in _WARNING.findall(self.errors)
        ]


@contextlib.contextmanager
def running(
    name: str,
    *arguments: object,
    python: str = sys.executable,
    module: str = "smtpd_compat",
    options: tuple[str, ...] = ("-W", "always::DeprecationWarning"),
) -> Iterator[Running]:
    """Run ``programs/NAME.py`` on *module* until the ``with`` block ends."""
    process = subprocess.Popen(
        [
            *(python, "-u", *options, str(HERE / "run_program.py"), module),
            *(str(PROGRAMS / (name + ".py")), "0", *map(str, arguments)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    assert process.stdout is not None
    program: Running | None = None
    try:
        printed = []
        for line in process.stdout:
            if line.startswith("listening on ") and line.split()[2].isdigit():
                program = Running(process, int(line.split()[2]))
                break
            printed.append(line.rstrip("\n"))
        if program is None:
            raise AssertionError("did not start: " + process.communicate()[1])
        yield program
    finally:
        process.terminate()
        out, errors = process.communicate()
        if program is not None:
            program.printed = [*printed, *out.splitlines()]
            program.errors = errors
