"""What the original answers, to be replayed where the original is gone.

Run by an interpreter that has the original: reads sessions from standard input, a line
for each, and writes the transcripts with the original and with the amended original.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

from . import original, rules
from .drive import Bench
from .sessions import Session, Transcript

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

#: Where `tests` is importable from.
REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))


def recorded(interpreter: str, sessions: Iterable[Session]) -> Recording:
    """Have *interpreter* hold *sessions* with its original."""
    sessions = list(sessions)
    lines = "".join(session.to_json() + "\n" for session in sessions)
    done = subprocess.run(
        [interpreter, "-W", "ignore", "-m", __name__],
        input=lines.encode("ascii"),
        stdout=subprocess.PIPE,
        cwd=REPOSITORY,
        check=True,
    )
    return Recording(zip(sessions, done.stdout.decode("ascii").splitlines()))


class Recording:
    """Transcripts of the original, by session."""

    def __init__(self, lines: Iterable[tuple[Session, str]]) -> None:
        self._lines: dict[Session, str] = dict(lines)

    def __contains__(self, session: Session) -> bool:
        return session in self._lines

    def transcripts(self, session: Session) -> tuple[Transcript, Transcript]:
        """With the original, and with the amended original."""
        plain, amended = json.loads(self._lines[session])
        return Transcript.from_json(plain), Transcript.from_json(amended)


def main() -> None:
    """Record standard input."""
    module = original.load()
    with Bench(module) as plain, rules.amended(module) as amended:
        for line in sys.stdin:
            session = Session.from_json(line)
            both = plain.run(session).to_json(), amended.run(session).to_json()
            print(json.dumps(both))


if __name__ == "__main__":
    main()
