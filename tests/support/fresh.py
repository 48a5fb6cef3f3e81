"""Interpreters that have imported nothing yet."""

from __future__ import annotations

import subprocess
import sys


def fresh(program: str) -> str:
    """What *program* prints in an interpreter of its own, where warnings are errors."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        check=True,
        stdout=subprocess.PIPE,
        timeout=60,
        encoding="utf-8",
    )
    return done.stdout
