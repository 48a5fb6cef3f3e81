"""What the README and the pages in docs promise of tests is so."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import smtpd_compat
from smtpd_compat import _commandline
from tests.recipes.pages import PAGES, README, blocks

ROOT = Path(__file__).parents[1]
DIFFERENCES = ROOT / "docs" / "differences.md"

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
    assert len({row[0] for row in rows}) == len(rows), "a row stands twice"
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


def settings() -> dict[str, list[str]]:
    """The rows of the tables of settings, by attribute."""
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| `(\w+)` \| (.*) \|$", text)
    return {name: cells.split(" | ") for name, cells in rows}


def test_the_settings_have_the_defaults_that_their_page_gives() -> None:
    for name, (default, on_command_line, _) in settings().items():
        value = getattr(smtpd_compat.MailmanProxy, name)
        if name == "worker_threads":
            value = smtpd_compat.SMTPServer.worker_threads
        assert default in (repr(value), f"`{getattr(value, '__name__', '')}`"), name
        if name in _commandline._LIMITS:
            assert float(on_command_line) == _commandline._LIMITS[name], name
        else:
            assert on_command_line in (default, "the class's"), name


@pytest.mark.parametrize("name", ["SMTPServer", "PureProxy", "MailmanProxy"])
def test_the_page_of_settings_has_those_of_each_class(name: str) -> None:
    doc = inspect.cleandoc(getattr(smtpd_compat, name).__doc__)
    lines = re.findall(r"(?m)^``.*``$", doc.partition("Subclasses set")[2])
    documented = re.findall(r"\w+", " ".join(lines))
    assert documented
    assert set(documented) <= set(settings())


def test_the_readme_is_a_page() -> None:
    assert README.stat().st_size <= 12 * 1024


def test_the_readme_names_the_pythons_of_the_metadata() -> None:
    metadata = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    versions = re.findall(r":: Python :: (3\.\d+)\n", metadata)
    said = f"CPython {versions[0]} to {versions[-1]}, and PyPy"
    assert said in README.read_text(encoding="utf-8")
    assert "Implementation :: PyPy" in metadata


def anchors(text: str) -> set[str]:
    """What links can name of a page: its headings, as GitHub writes them."""
    headings = re.findall(r"(?m)^#+ (.*)$", re.sub("(?ms)^```.*?^```", "", text))
    words = [re.sub(r"[^\w\- ]", "", heading).strip().lower() for heading in headings]
    return {heading.replace(" ", "-") for heading in words}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub("(?ms)^```.*?^```", "", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match("https://", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.is_file(), target
        if anchor:
            assert anchor in anchors(linked.read_text(encoding="utf-8")), target


def test_every_page_is_linked_from_the_readme() -> None:
    text = README.read_text(encoding="utf-8")
    for page in PAGES:
        if page != README:
            assert f"]({page.relative_to(ROOT).as_posix()}" in text, page.name


def test_the_commands_for_a_fresh_machine_are_two_lines_for_ci() -> None:
    """`.ci/run` runs them, each in a fresh copy."""
    lines = [
        line
        for block in blocks()
        if block.page == README and block.language == "sh"
        for line in block.text.splitlines()
        if line.startswith("python3 -m venv ")
    ]
    server, tests = lines
    assert "-c DebuggingServer localhost:1025" in server
    assert tests.endswith("pytest")
