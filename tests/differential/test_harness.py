"""The harness finds differences, cuts them down, and excuses nothing else."""

from __future__ import annotations

import dataclasses
import itertools
import subprocess
import sys

import pytest

import smtpd_compat

from . import __main__, compare, generate, original, rules, written
from .comparison import Comparison
from .drive import Bench
from .record import REPOSITORY, recorded
from .sessions import UNIX, Session, Transcript
from .shrink import shrink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_MESSAGE = written.REFERENCE["received_data"]

needs_original = pytest.mark.skipif(
    not original.HERE, reason="this interpreter has no smtpd of CPython's"
)


def test_a_session_survives_a_file() -> None:
    for session in itertools.islice(generate.sessions(1), 50):
        assert Session.from_json(session.to_json()) == session


def test_a_session_s_source_makes_the_session() -> None:
    for session in itertools.islice(generate.sessions(2), 50):
        assert eval(session.source(), {"Session": Session}) == session


def test_the_same_seed_makes_the_same_sessions() -> None:
    def first() -> list[Session]:
        return list(itertools.islice(generate.sessions(3), 50))

    assert first() == first()


def test_a_transcript_survives_a_file() -> None:
    with Bench(smtpd_compat) as bench:
        transcript = bench.run(_MESSAGE)
    assert Transcript.from_json(transcript.to_json()) == transcript
    assert transcript.messages


def test_the_same_session_twice_has_the_same_transcript() -> None:
    with Bench(smtpd_compat) as bench:
        for session in itertools.islice(generate.sessions(4), 100):
            assert bench.run(session) == bench.run(session), session.source()


def test_shrinking_ends_with_what_matters() -> None:
    session = dataclasses.replace(
        _MESSAGE, peer=UNIX, traced=True, decode_data=True, handler="text"
    )

    def fails(candidate: Session) -> bool:
        return b"x" in b"".join(candidate.segments) and candidate.decode_data

    assert shrink(session, fails) == Session((b"x",), decode_data=True)


@pytest.mark.parametrize(
    "field, value",
    [
        ("closed", True),
        ("messages", []),
        ("trace", "more"),
        ("printed", "more"),
        ("escaped", "SystemExit"),
        ("hooks", ["more"]),
        ("sent", ["220 other\r\n"]),
    ],
)
def test_every_part_of_a_transcript_is_compared(field: str, value: Any) -> None:
    with Bench(smtpd_compat) as bench:
        expected = bench.run(_MESSAGE)
    got = dataclasses.replace(expected, **{field: value})
    assert compare.differences(_MESSAGE, expected, expected) == []
    assert compare.differences(_MESSAGE, expected, got) != []
    outcome = compare.judge(_MESSAGE, got, expected, lambda: expected)
    assert outcome.verdict == compare.UNLISTED


def test_every_attribute_is_compared() -> None:
    with Bench(smtpd_compat) as bench:
        expected = bench.run(_MESSAGE)
    for name in expected.attributes:
        attributes = {**expected.attributes, name: "other"}
        got = dataclasses.replace(expected, attributes=attributes)
        assert compare.differences(_MESSAGE, expected, got) != [], name


def test_a_death_of_ours_is_never_listed() -> None:
    with Bench(smtpd_compat) as bench:
        expected = bench.run(_MESSAGE)
    got = dataclasses.replace(expected, deaths=["closing builtins.ValueError read"])
    amended = dataclasses.replace(expected, rules=sorted(rules.NAMES))
    outcome = compare.judge(_MESSAGE, got, expected, lambda: amended)
    assert outcome.verdict == compare.UNLISTED


def test_a_rule_excuses_nothing_beside_it() -> None:
    """A session that meets a rule, and in which we do something else besides."""
    with Bench(smtpd_compat) as bench:
        ours = bench.run(_MESSAGE)
    theirs = dataclasses.replace(ours, closed=True)
    amended = dataclasses.replace(ours, rules=["after QUIT"])
    listed = compare.judge(_MESSAGE, ours, theirs, lambda: amended)
    assert listed.verdict == compare.LISTED
    more = dataclasses.replace(ours, trace="and more")
    unlisted = compare.judge(_MESSAGE, more, theirs, lambda: amended)
    assert unlisted.verdict == compare.UNLISTED


@needs_original
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_amendment_changes_nothing_where_its_rule_is_not_met() -> None:
    module = original.load()
    with Bench(module) as plain, rules.amended(module) as amended:
        checked = 0
        for session in itertools.islice(generate.sessions(5), 600):
            repaired = amended.run(session)
            if not repaired.rules:
                found = compare.differences(session, plain.run(session), repaired)
                assert found == [], session.source()
                checked += 1
        assert checked > 100


@needs_original
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_recording_holds_what_the_original_says() -> None:
    sessions = list(itertools.islice(generate.sessions(6), 20))
    recording = recorded(sys.executable, sessions)
    with Bench(original.load()) as bench:
        for session in sessions:
            assert recording.transcripts(session)[0] == bench.run(session)


@needs_original
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_broken_reply_is_found_and_cut_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        smtpd_compat.SMTPChannel,
        "smtp_NOOP",
        lambda self, arg: self.push("250 Ok" if not arg else "501 Syntax: NOOP"),
    )
    session = Session((b"EHLO x\r\nNO", b"OP\r\nNOOP x\r\n", b"QUIT\r\n"), traced=True)
    with Comparison() as comparison:
        assert comparison.outcome(session).verdict == compare.UNLISTED
        report = comparison.report(session)
    assert "Session(\n    segments=(\n        b'NOOP\\r\\n',\n    ),\n)" in report
    assert "250 Ok" in report


@needs_original
def test_the_long_run_says_what_came_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["--sessions", "50", "--seed", "7"]) == 0
    out = capsys.readouterr().out
    assert "50 sessions from seed 7" in out
    assert " same\n" in out and "unlisted" not in out


@needs_original
def test_one_session_of_a_seed_is_shown_whole(
    capsys: pytest.CaptureFixture[str],
) -> None:
    session = next(itertools.islice(generate.sessions(7), 2, None))
    assert __main__.main(["--seed", "7", "--only", "3"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(session.source())
    for side in ("the original:", "amended:", "this package:"):
        assert f"\n{side}\n" in shown
    assert "'trace'" in shown


@needs_original
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_long_run_fails_where_something_differs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good: Callable[..., None] = smtpd_compat.SMTPChannel.smtp_EHLO
    monkeypatch.setattr(
        smtpd_compat.SMTPChannel, "smtp_EHLO", lambda self, arg: good(self, "x")
    )
    assert __main__.main(["--sessions", "50", "--seed", "7"]) == 1
    assert "Unlisted difference in session" in capsys.readouterr().out


def test_the_long_run_needs_an_interpreter_with_the_original() -> None:
    command = [sys.executable, "-m", "tests.differential", "--sessions", "1"]
    command += ["--seed", "8"]
    done = subprocess.run(command, check=False, cwd=REPOSITORY, stderr=subprocess.PIPE)
    assert done.returncode == (0 if original.HERE else 2)
