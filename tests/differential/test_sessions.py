"""Our sessions are the original's, but for what is listed."""

from __future__ import annotations

import collections
import itertools
import pathlib
import re

import pytest

import smtpd_compat

from . import generate, original, ruled, rules, written
from .compare import LISTED, UNLISTED
from .comparison import Comparison
from .drive import Bench
from .record import REPOSITORY, recorded
from .sessions import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    _Open = Callable[[Iterable[Session]], Comparison]

_SEED = 322
_GENERATED = 3000


@pytest.fixture
def comparing() -> _Open:
    """Makes a comparison for sessions; where the original is gone, by a recording."""
    interpreter = original.interpreter()
    if interpreter is None:
        pytest.skip("no interpreter from 3.8 to 3.11 at hand, which had smtpd")

    def comparing(sessions: Iterable[Session]) -> Comparison:
        if original.HERE:
            return Comparison()
        assert interpreter is not None
        return Comparison(recorded(interpreter, sessions))

    return comparing


def test_every_row_of_the_reference_is_as_in_the_original(comparing: _Open) -> None:
    with comparing(written.REFERENCE.values()) as comparison:
        for row, session in written.REFERENCE.items():
            outcome = comparison.outcome(session)
            assert outcome.verdict != UNLISTED, row + comparison.report(session)


def test_every_departure_is_met_and_followed(comparing: _Open) -> None:
    every = itertools.chain.from_iterable(ruled.RULED.values())
    with comparing(every) as comparison:
        for rule, sessions in ruled.RULED.items():
            for session in sessions:
                outcome = comparison.outcome(session)
                assert outcome.verdict == LISTED, rule + comparison.report(session)
                assert rule in outcome.rules, session.source()


def test_generated_sessions_are_as_in_the_original(comparing: _Open) -> None:
    sessions = list(itertools.islice(generate.sessions(_SEED), _GENERATED))
    met: collections.Counter[str] = collections.Counter()
    with comparing(sessions) as comparison:
        for session in sessions:
            outcome = comparison.outcome(session)
            assert outcome.verdict != UNLISTED, comparison.report(session)
            met[outcome.verdict] += 1
            met.update(outcome.rules)
    # Else the sessions are not worth the time.
    assert met["same"] > _GENERATED // 4
    assert set(met) >= rules.NAMES


def test_the_written_sessions_hear_every_reply() -> None:
    with Bench(smtpd_compat) as bench:
        every: list[Session] = list(written.REFERENCE.values())
        every += itertools.chain.from_iterable(ruled.RULED.values())
        heard = {
            line
            for session in every
            for line in "".join(bench.run(session).sent).split("\r\n")
        }
    for reply in written.REPLIES:
        assert any(re.fullmatch(reply, line) for line in heard), reply


def test_every_rule_has_a_session() -> None:
    assert set(ruled.RULED) == rules.NAMES


def test_every_rule_is_a_row_of_the_table_of_differences() -> None:
    page = pathlib.Path(REPOSITORY, "docs", "differences.md").read_text("utf-8")
    cells = re.findall(r"^\| ([^|]+) \|.*\| ([234]) \|", page, re.MULTILINE)
    for rule in rules.RULES:
        rows = [
            number
            for cell, number in cells
            if cell.replace("`", "").startswith(rule.row)
        ]
        assert rows, rule.row
