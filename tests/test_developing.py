"""DEVELOPING.md names every room, and nothing that is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.mutation.sample import module_of
from tests.mutation.workers import own_files

ROOT = Path(__file__).parents[1]
DEVELOPING = ROOT / "DEVELOPING.md"
PACKAGE = ROOT / "smtpd_compat"

pytestmark = pytest.mark.skipif(
    not DEVELOPING.exists(), reason="DEVELOPING.md is not beside the tests"
)


def test_the_map_names_every_room() -> None:
    text = DEVELOPING.read_text(encoding="utf-8")
    named = re.findall(r"(?m)^\| `([\w/]+\.py)` \|", text)
    rooms = [path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")]
    rooms = [room for room in rooms if not room.endswith("/__init__.py")]
    missing = sorted(set(rooms) - set(named))
    assert not missing, "DEVELOPING.md, The rooms: a line for each of these is missing"
    assert sorted(named) == sorted(rooms)


def test_what_it_names_exists() -> None:
    text = DEVELOPING.read_text(encoding="utf-8")
    for path in re.findall(r"`((?:tests|docs|\.ci)/[\w/.]+)`", text):
        assert (ROOT / path).exists() or "NAME" in path, path
    for path in re.findall(r"`(_[a-z]+/\w+\.py)`", text):
        assert (PACKAGE / path).exists(), path
    for module in re.findall(r"python -m (tests[\w.]*)", text):
        assert (ROOT / module.replace(".", "/")).exists() or (
            ROOT / (module.replace(".", "/") + ".py")
        ).exists(), module


def test_every_room_has_tests_of_its_own() -> None:
    """The mutation tool runs them first; it knows where they are."""
    for path in PACKAGE.rglob("*.py"):
        if path.stat().st_size < 200 and path.name == "__init__.py":
            continue  # a docstring alone
        for name in own_files(module_of(ROOT, path)):
            assert (ROOT / name).exists(), f"OWN in tests/mutation/workers.py: {path}"
