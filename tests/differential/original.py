"""The original: the ``smtpd`` that interpreters up to 3.11 ship."""

from __future__ import annotations

import functools
import glob
import importlib
import os
import shutil
import subprocess
import sys
import warnings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

#: Whether this interpreter has the original; PyPy's copy meets other built-ins.
HERE = sys.version_info < (3, 12) and sys.implementation.name == "cpython"

#: How to run it as a program, behind the interpreter.
AS_PROGRAM = ("-W", "ignore", "-m", "smtpd")


def load() -> Any:
    """Import the original."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return importlib.import_module("smtpd")


@functools.lru_cache(maxsize=None)  # noqa: UP033 - 3.8 has no cache
def interpreter() -> str | None:
    """An interpreter that has the original: this one, or an older one at hand.

    Older ones are looked for in PATH, and where pyenv keeps them; the newest is taken.
    """
    if HERE:
        return sys.executable
    for candidate in _candidates():
        found = _with_original(candidate)
        if found is not None:
            return found
    return None


def _candidates() -> Iterator[str]:
    pyenv = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    for version in ("3.11", "3.10", "3.9", "3.8"):
        found = shutil.which("python" + version)
        if found is not None:
            yield found
        pattern = os.path.join(pyenv, "versions", version + ".*", "bin", "python")
        yield from sorted(glob.glob(pattern), reverse=True)


def _with_original(candidate: str) -> str | None:
    """The interpreter that *candidate* runs, if that has the original."""
    code = (
        "import sys, smtpd, asyncore, asynchat\n"
        "if sys.implementation.name == 'cpython': print(sys.executable)\n"
    )
    command = [candidate, "-W", "ignore", "-c", code]
    try:
        done = subprocess.run(
            command, check=False, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except OSError:
        return None
    return done.stdout.decode().strip() or None
