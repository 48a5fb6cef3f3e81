"""Compare sessions: hold them on all sides, judge them, cut down what differs."""

from __future__ import annotations

import contextlib

import smtpd_compat

from . import compare, original, rules
from .compare import UNLISTED, Outcome
from .drive import Bench
from .record import Recording, recorded
from .sessions import Session, Transcript
from .shrink import shrink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Comparison:
    """Holds sessions with this package and with the original.

    :param recording: what the original answered; None if it is to be asked now.
    """

    def __init__(self, recording: Recording | None = None) -> None:
        self._recording = recording
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Comparison:  # noqa: PYI034
        self._ours = self._stack.enter_context(Bench(smtpd_compat))
        if self._recording is None and original.HERE:
            module = original.load()
            self._original = self._stack.enter_context(Bench(module))
            self._amended = self._stack.enter_context(rules.amended(module))
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def outcome(self, session: Session) -> Outcome:
        """What comparing *session* comes to."""
        plain, amended = self._transcripts(session)
        return compare.judge(session, self._ours.run(session), plain, amended)

    def sides(self, session: Session) -> dict[str, Transcript]:
        """What comes of *session* on each side."""
        plain, amended = self._transcripts(session)
        ours = self._ours.run(session)
        return {"the original": plain, "amended": amended(), "this package": ours}

    def rules(self, session: Session) -> tuple[str, ...]:
        """The rules that *session* meets, whether or not ours follows them."""
        return tuple(self._transcripts(session)[1]().rules)

    def _transcripts(
        self, session: Session
    ) -> tuple[Transcript, Callable[[], Transcript]]:
        if self._recording is not None:
            if session not in self._recording:
                # One that is being cut down.
                interpreter = original.interpreter()
                assert interpreter is not None
                self._recording = recorded(interpreter, [session])
            plain, amended = self._recording.transcripts(session)
            return plain, lambda: amended
        return self._original.run(session), lambda: self._amended.run(session)

    def report(self, session: Session, most: int = 500) -> str:
        """Cut *session*, which differs, down; return it as something to paste.

        :param most: how many smaller sessions to try.
        """
        tried = 0
        wanted = _what(self.outcome(session))

        def differs_alike(candidate: Session) -> bool:
            nonlocal tried
            tried += 1
            return tried <= most and _what(self.outcome(candidate)) == wanted

        smallest = shrink(session, differs_alike)
        outcome = self.outcome(smallest)
        return "{}\n# rules met: {}\n{}".format(
            smallest.source(),
            ", ".join(outcome.rules) or "none",
            "".join(f"# {line}\n" for line in _lines(outcome)),
        )


def _what(outcome: Outcome) -> tuple[str, str]:
    """In what a session differs, so that cutting it leads to no other difference."""
    if outcome.verdict != UNLISTED:
        return outcome.verdict, ""
    return UNLISTED, outcome.differences[0].split()[0]


def _lines(outcome: Outcome) -> tuple[str, ...]:
    return tuple("\n".join(outcome.differences).splitlines())
