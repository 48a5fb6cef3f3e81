"""Find runs of lines that two sets of files share."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]

#: Lines that may be alike one after the other, by chance or since a name is a fact.
LIMIT = 6

_ORIGINALS = ("smtpd.py", "test/test_smtpd.py", "test/test_smtplib.py")


class Run(NamedTuple):
    """Lines that are alike, where they stand in our file, and where in theirs."""

    lines: tuple[str, ...]
    ours: tuple[Path, int]
    theirs: tuple[Path, int]


def ours() -> list[Path]:
    """Every Python file of the package and of the tests, and the pages."""
    found = [ROOT / "setup.py", ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    for folder in ("smtpd_compat", "tests"):
        found += (ROOT / folder).rglob("*.py")
    return sorted(path for path in found if path.exists())


def originals() -> list[Path]:
    """The original and its tests, of this interpreter and of those that pyenv has."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    folders = {Path(sysconfig.get_path("stdlib")).resolve()}
    for pattern in ("python3.*", "python2.7"):
        folders.update(p.resolve() for p in pyenv.glob(f"versions/*/lib/{pattern}"))
    found = [folder / name for folder in sorted(folders) for name in _ORIGINALS]
    return [path for path in found if path.exists()]


def numbered_lines(path: Path) -> list[tuple[int, str]]:
    """The lines that are not empty, with one space where there are some."""
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = [" ".join(line.split()) for line in text.splitlines()]
    return [(number, line) for number, line in enumerate(lines, 1) if line]


def runs(ours: list[Path], theirs: list[Path], at_least: int) -> Iterator[Run]:
    """For each of *ours* the runs of *at_least* lines, each once, at its longest."""
    original: list[tuple[Path, int, str]] = []
    for path in theirs:
        original += [(path, number, line) for number, line in numbered_lines(path)]
        original.append((path, 0, ""))  # a line that nobody has: runs end with the file
    places: dict[str, list[int]] = {}
    for place, (_, _, line) in enumerate(original):
        places.setdefault(line, []).append(place)
    for path in ours:
        mine = numbered_lines(path)
        ending: dict[int, int] = {}  # by the place in theirs, the length of a run
        for index in range(len(mine) + 1):
            before = ending
            line = mine[index][1] if index < len(mine) else None
            ending = {p: before.get(p - 1, 0) + 1 for p in places.get(line or "\n", ())}
            over = [p for p in before if p + 1 not in ending]
            last = max(over, key=before.__getitem__, default=None)
            if last is None or before[last] < at_least:
                continue
            length = before[last]
            if length < max(ending.values(), default=0):
                continue  # part of a longer one
            first = index - length
            yield Run(
                tuple(line for _, line in mine[first:index]),
                (path.relative_to(ROOT), mine[first][0]),
                (original[last - length + 1][0], original[last - length + 1][1]),
            )
