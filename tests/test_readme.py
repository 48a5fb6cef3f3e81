"""What the README and the pages in docs promise of tests is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DIFFERENCES = ROOT / "docs" / "differences.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]

pytestmark = pytest.mark.skipif(
    not README.exists(), reason="README.md is not beside the tests"
)


def differences() -> list[list[str]]:
    """The rows of the table of differences, in cells."""
    table = DIFFERENCES.read_text(encoding="utf-8").partition("\n| What |")[2]
    rows = table.partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("| ").split(" | ")] for row in rows]


def test_every_difference_has_a_reason_and_tests_named_after_it() -> None:
    known = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        known.update(re.findall(r"def test_(\w+)", path.read_text(encoding="utf-8")))
    rows = differences()
    assert len(rows) > 40
    for row in rows:
        what, original, here, number, tests = row
        assert original and here, what
        assert number in ("2", "3", "4"), what
        names = re.findall(r"`(\w+)`", tests)
        assert names, what
        assert set(names) <= known, what


def test_every_row_of_a_table_has_as_many_cells_as_its_header() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    tables = re.findall(r"(?m)(?:^\|.*\n)+", text)
    assert len(tables) > 5
    for table in tables:
        rows = table.splitlines()
        assert re.fullmatch(r"[|\s-]+", rows[1]), rows[0]
        assert len({row.count(" | ") for row in rows[2:]}) == 1, rows[0]


def test_every_file_that_a_page_names_exists() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    named = re.findall(r"`((?:tests|smtpd_compat)/[\w/.]+)`", text)
    assert named
    for path in named:
        assert (ROOT / path).exists(), path
