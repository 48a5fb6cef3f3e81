"""The interpreters and the peers: what there is, and what pip has to fetch."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

#: Virtual environments live here; git ignores it, and it may be removed at any time.
CACHE = ROOT / ".benchmark-cache"

#: What `asyncore` needs since Python 3.12, for this package and for our floor.
ASYNCORE = ("pyasyncore", "pyasynchat")


class Missing(Exception):
    """Something that a server needs is not there; the text says what."""


def clean_environment() -> dict[str, str]:
    """The environment of every server: nobody's Python settings, and this package."""
    inherited = {
        name: value for name, value in os.environ.items() if name[:6] != "PYTHON"
    }
    return {**inherited, "PYTHONPATH": str(ROOT)}


@functools.lru_cache
def interpreter(version: str) -> str:
    """The newest CPython *version* (``3.11``): from pyenv, else from PATH.

    :raises Missing: if there is none.
    """
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates = sorted(
        map(str, pyenv.glob(f"versions/{version}.*/bin/python")),
        key=lambda path: [int(digits) for digits in re.findall(r"\d+", path)],
        reverse=True,
    )
    candidates += filter(None, [shutil.which(f"python{version}")])
    for candidate in candidates:
        # A shim of pyenv may be there for a version that is not.
        command = [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        printed = subprocess.run(command, capture_output=True, check=False)
        if printed.stdout.decode().strip() == version:
            return candidate
    raise Missing(f"no Python {version}")


@functools.lru_cache
def environment(version: str, *requirements: str) -> str:
    """The interpreter of a virtual environment with *requirements*, made if needed.

    Also the servers which require nothing get one, so that no site-packages of the
    machine slow down the start of one and not of the other.

    :raises Missing: if there is no such interpreter or pip cannot install.
    """
    base = interpreter(version)
    folder = CACHE / "-".join([version, *requirements])
    python = str(folder / "bin" / "python")
    ready = folder / "ready"
    if ready.exists() and ready.read_text() == base and os.path.exists(python):
        return python
    print(f"making {folder}", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    _run([base, "-m", "venv", str(folder)])
    if requirements:
        _run([python, "-m", "pip", "install", "--quiet", *requirements])
    ready.write_text(base)
    return python


def installed(python: str) -> list[str]:
    """What pip installed into the environment of *python*: ``name==version``."""
    command = [python, "-m", "pip", "list", "--format=freeze"]
    listed = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return [
        line
        for line in listed.stdout.decode().split()
        if not line.startswith(("pip=", "setuptools="))
    ]


def _run(command: list[str]) -> None:
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode:
        last_line = done.stdout.decode(errors="replace").strip().rpartition("\n")[2]
        raise Missing(f"`{' '.join(command[1:])}` failed: {last_line}")
