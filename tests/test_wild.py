"""Programs in the style of public ones, run as they stand (tests/eras/programs/wild).

The comment lines ``# prints:`` of a program are what it prints for a mail.
"""

from __future__ import annotations

import pathlib
import smtplib
import sys

import pytest

from .eras.programs_running import PROGRAMS, running
from .test_eras import MESSAGE, RECIPIENTS, SENDER, _python_2_7

WILD = sorted(PROGRAMS.glob("wild/*.py"))


def printed_by(path: pathlib.Path) -> list[str]:
    """What the program says of itself that it prints for a mail."""
    lines = path.read_text(encoding="utf-8").splitlines()
    mark = "# prints: "
    return [line[len(mark) :] for line in lines if line.startswith(mark)]


def printed_for(path: pathlib.Path, count: int, python: str, module: str) -> list[str]:
    """What the program prints for *count* mails, one connection for each."""
    options = ("-W", "ignore")
    name = f"wild/{path.stem}"
    with running(name, python=python, module=module, options=options) as program:
        for _ in range(count):
            with smtplib.SMTP(*program.address, timeout=20) as client:
                client.ehlo("me")
                assert client.sendmail(SENDER, RECIPIENTS, MESSAGE) == {}
    return program.printed


@pytest.mark.parametrize("path", WILD, ids=lambda path: path.stem)
def test_program_prints_for_each_mail_what_it_says(path: pathlib.Path) -> None:
    said = printed_by(path)
    assert said
    assert printed_for(path, 2, sys.executable, "smtpd_compat") == said * 2


def test_programs_of_2_7_print_the_same_on_python_2_7() -> None:
    python = _python_2_7()
    if python is None:
        pytest.skip("no Python 2.7")
    for path in WILD:
        if path.read_text(encoding="utf-8").startswith("# 2.7"):
            assert printed_for(path, 1, python, "smtpd") == printed_by(path), path
