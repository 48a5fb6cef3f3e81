"""Take the programs out of README.md."""

from __future__ import annotations

from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def program(heading: str) -> str:
    """The first Python program below the heading *heading*.

    :raises LookupError: if the README has no such heading, or no program below it.
    """
    below = False
    taken = None
    for line in README.read_text(encoding="utf-8").splitlines(keepends=True):
        if taken is not None:
            if line.startswith("```"):
                return "".join(taken)
            taken.append(line)
        elif line.startswith("#"):
            below = line.lstrip("#").strip() == heading
        elif below and line.startswith("```python"):
            taken = []
    raise LookupError(f"no program below {heading!r} in {README}")
