"""The interpreters' own suites pass, unmodified, with this package as their smtpd."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: Fewer tests than any interpreter's suite has; 3.8 has the fewest of all.
AT_LEAST = {"test_smtpd": 140, "test_smtplib": 65, "test_logging": 1}


def own(suite: str) -> Path:
    """This interpreter's own copy of a test module."""
    return Path(sysconfig.get_path("stdlib"), "test", suite + ".py")


def borrowed_test_smtpd() -> Path | None:
    """The last test_smtpd that there was, from a 3.11 that pyenv installed."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = sorted(root.glob("versions/3.11.*/lib/python3.11/test/test_smtpd.py"))
    return found[-1] if found else None


def assert_passes(suite: Path, name: str, *test_class: str) -> None:
    """Run *suite*, imported under *name*, and judge it by what unittest counted."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.stdlib.run_replaced", name, *test_class],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert os.path.samefile(report["file"], suite)
    assert report["uses"] == ["smtpd_compat", "asyncore"]
    assert report["one_asyncore"]
    assert report["failed"] == [], done.stderr
    assert report["succeeded_unexpectedly"] == []
    assert report["ran"] - len(report["skipped"]) >= AT_LEAST[suite.stem]


def test_test_smtpd_passes() -> None:
    suite = own("test_smtpd")
    name = "test.test_smtpd"
    if sys.version_info >= (3, 12):
        borrowed = borrowed_test_smtpd()
        if borrowed is None:
            pytest.skip("no 3.11 with a test_smtpd found through pyenv")
        if not own("mock_socket").exists():
            pytest.skip("this interpreter ships nothing for test_smtpd to work with")
        suite = borrowed
        name = str(borrowed)
    elif not suite.exists():
        pytest.skip("this interpreter ships no test_smtpd")
    assert_passes(suite, name)


def test_test_smtplib_passes() -> None:
    suite = own("test_smtplib")
    if not suite.exists():
        pytest.skip("this interpreter ships no test_smtplib")
    assert_passes(suite, "test.test_smtplib")


def test_smtphandler_tests_of_test_logging_pass() -> None:
    suite = own("test_logging")
    if not suite.exists():
        pytest.skip("this interpreter ships no test_logging")
    assert_passes(suite, "test.test_logging", "SMTPHandlerTest")
