"""Run the recipes as files, in a folder of their own, as a reader would."""

from __future__ import annotations

import contextlib
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.functional.processes import Server, reserved_port, serving_process
from tests.recipes.pages import blocks

#: Where the programs and commands of the pages listen.
_PORT = re.compile(r"\b(1025|8025|10025)\b")


def on_port(text: str, port: int) -> str:
    """*text*, a program or a command, with *port* in place of its own."""
    changed, count = _PORT.subn(str(port), text)
    assert count == 1, f"{count} ports in {text}"
    return changed


def in_this_python(command: str) -> list[str]:
    """The words of a command line, for the Python that runs the tests."""
    program, *arguments = shlex.split(command)
    assert program in ("python", "python3"), command
    return [sys.executable, *arguments]


def write_files(folder: Path) -> None:
    """Write the programs that begin with the name of a file into *folder*."""
    names = set()
    for block in blocks():
        named = re.match(r"# (\w+\.py)\n", block.text)
        if block.language == "python" and named:
            assert named[1] not in names, named[1]
            names.add(named[1])
            (folder / named[1]).write_text(block.text, encoding="utf-8")
    assert names


@contextlib.contextmanager
def program_running(
    program: str, folder: Path, host: str = "127.0.0.1"
) -> Iterator[Server]:
    """Run a program of a page in *folder*, on a free port, for the ``with`` block."""
    with reserved_port(host) as port:
        (folder / "program.py").write_text(on_port(program, port), encoding="utf-8")
        command = [sys.executable, "-u", "program.py"]
        with serving_process(command, host, port, cwd=folder) as server:
            yield server


@contextlib.contextmanager
def command_running(
    command: str, folder: Path, host: str = "127.0.0.1"
) -> Iterator[Server]:
    """Run a command of a page in *folder*, which has the pages' programs, likewise."""
    write_files(folder)
    with reserved_port(host) as port:
        words = in_this_python(on_port(command, port))
        with serving_process(words, host, port, cwd=folder) as server:
            yield server
