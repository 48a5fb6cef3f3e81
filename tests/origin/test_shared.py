"""No passage of this repository is the original's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.origin import shared


def test_no_run_of_lines_is_the_original_s() -> None:
    theirs = shared.originals()
    if not any(path.name == "smtpd.py" for path in theirs):
        pytest.skip("no interpreter up to 3.11 at hand, which has the original")
    found = list(shared.runs(shared.ours(), theirs, shared.LIMIT + 1))
    assert found == []


def test_a_run_is_found_wherever_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "ROOT", tmp_path)
    mine, theirs, others = (tmp_path / name for name in ("a.py", "b.py", "c.py"))
    mine.write_text("x\none\n\n  two  words\nthree\ny\nlast\n")
    theirs.write_text("one\none\ntwo words\n\n\nthree\nz\ny\nlast\n")
    others.write_text("last\nx\n")
    found = list(shared.runs([mine], [theirs, others], 2))
    assert found == [
        shared.Run(("one", "two words", "three"), (Path("a.py"), 2), (theirs, 2)),
        shared.Run(("y", "last"), (Path("a.py"), 6), (theirs, 8)),
    ]
