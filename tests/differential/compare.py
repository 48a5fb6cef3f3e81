"""What two transcripts of a session may not differ in, and what a difference is."""

from __future__ import annotations

import dataclasses

from . import rules
from .sessions import Session, Transcript

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

SAME = "same"
LISTED = "listed"
UNLISTED = "unlisted"

#: The channel kinds that can tell how a message is kept while it arrives.
_WATCHES_LINES = frozenset(
    ("logged", "logged collect", "logged terminator", "dialogue")
)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What the comparison of a session came to."""

    #: SAME, LISTED or UNLISTED.
    verdict: str
    #: For LISTED, the rules that the session met.
    rules: tuple[str, ...] = ()
    #: For UNLISTED, what differs.
    differences: tuple[str, ...] = ()


def judge(
    session: Session,
    ours: Transcript,
    original: Transcript,
    amended: Callable[[], Transcript],
) -> Outcome:
    """Compare our transcript with the original's.

    :param amended: holds the session with the original as `rules` amends it.  Where
        ours is not what the original does, it has to be what the original would do if
        it did not have the failures that are listed: so a listed departure excuses
        nothing before it, beside it or after it.
    """
    found = differences(session, original, ours)
    if not found and not any(map(_closes, ours.deaths)):
        return Outcome(SAME)
    repaired = amended()
    remaining = differences(session, repaired, ours)
    if not remaining and not repaired.rules:
        remaining = found
    if (
        not remaining
        and any(map(_closes, original.deaths))
        and rules.WHERE_IT_DIES.issuperset(repaired.rules)
    ):
        remaining = _not_survived(original, ours)
    remaining += ["ours died: " + death for death in ours.deaths if _closes(death)]
    if remaining:
        return Outcome(UNLISTED, tuple(repaired.rules), tuple(remaining))
    return Outcome(LISTED, tuple(repaired.rules))


def differences(session: Session, expected: Transcript, got: Transcript) -> list[str]:
    """Where two transcripts differ, a line for each place."""
    found: list[str] = []
    for name in ("messages", "hooks", "trace", "printed", "escaped", "closed"):
        _compare(found, name, getattr(expected, name), getattr(got, name))
    for turn in range(max(len(expected.sent), len(got.sent))):
        what = f"sent after segment {turn - 1}" if turn else "banner"
        _compare(found, what, _nth(expected.sent, turn), _nth(got.sent, turn))
    unseen = _unseen(session, got)
    for name, value in expected.attributes.items():
        if name not in unseen:
            if value == "none" and name in ("mail_options", "rcpt_options"):
                # The original's channels get them with the first MAIL and RCPT.
                value = "[]"
            _compare(found, "channel." + name, value, got.attributes[name])
    return found


def _compare(found: list[str], what: str, expected: Any, got: Any) -> None:
    if expected != got:
        since = ""
        if type(expected) is type(got) and isinstance(expected, (str, list)):
            same = _same_length(expected, got)
            if same > 40:
                since = f" (from {same - 40} on)"
                expected, got = expected[same - 40 :], got[same - 40 :]
            elif isinstance(expected, list):
                since = f" (from {same} on)"
                expected, got = expected[same:], got[same:]
        found.append(
            f"{what}{since}:\n"
            f"    original {_shown(expected)}\n"
            f"    ours     {_shown(got)}"
        )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 400 else text[:400] + "..."


def _same_length(one: Any, other: Any) -> int:
    """How many of the first things of two sequences are the same."""
    for i, (a, b) in enumerate(zip(one, other)):
        if a != b:
            return i
    return min(len(one), len(other))


def _nth(sent: list[str], turn: int) -> str:
    return sent[turn] if turn < len(sent) else "(closed before)"


def _unseen(session: Session, got: Transcript) -> tuple[str, ...]:
    """Attributes that ours does not keep up while no program can be looking."""
    if (
        got.attributes["smtp_state"] == "1"
        and session.channel not in _WATCHES_LINES
        and not session.traced
    ):
        return ("received_lines", "received_data")
    return ()


def _closes(death: str) -> bool:
    return death.startswith("closing")


def _not_survived(original: Transcript, ours: Transcript) -> list[str]:
    """Rule 2: up to where the original died, all is the same."""
    before, after = "".join(original.sent), "".join(ours.sent)
    if after.startswith(before):
        return []
    return [f"sent before the original died:\n    {before!r}\n    {after!r}"]
