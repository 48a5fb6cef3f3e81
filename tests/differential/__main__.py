"""The long comparison: ``python -m tests.differential --sessions 100000``.

Needs an interpreter that has the original, 3.8 to 3.11.  Exit status 0 if nothing
differs but what is listed, 1 if something does, 2 for bad usage.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import itertools
import pprint
import random
import sys
import time

from . import generate, original
from .compare import UNLISTED
from .comparison import Comparison

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_PROGRESS_EVERY = 30.0
_ENOUGH_REPORTS = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison, print what comes of it, return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.differential", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--sessions", type=int, default=100000, metavar="N")
    parser.add_argument("--seed", type=int, help="default: a fresh one")
    parser.add_argument(
        "--only",
        type=int,
        metavar="N",
        help="hold the N-th session of the seed alone, and print all of it",
    )
    options = parser.parse_args(arguments)
    if not original.HERE:
        parser.error("this interpreter has no smtpd to compare with; take 3.8 to 3.11")
    if options.only is not None:
        if options.seed is None or options.only < 1:
            parser.error("--only takes the number of a session, and its --seed")
        return _show(options.seed, options.only)
    seed = (
        random.SystemRandom().getrandbits(48) if options.seed is None else options.seed
    )
    print(
        f"{options.sessions} sessions from seed {seed}"
        f" on Python {sys.version.split()[0]}",
        flush=True,
    )
    return _compare(seed, options.sessions)


def _compare(seed: int, count: int) -> int:
    verdicts: collections.Counter[str] = collections.Counter()
    met: collections.Counter[str] = collections.Counter()
    started = time.monotonic()
    report_next = started + _PROGRESS_EVERY
    with Comparison() as comparison:
        sessions = itertools.islice(generate.sessions(seed), count)
        for done, session in enumerate(sessions, 1):
            outcome = comparison.outcome(session)
            verdicts[outcome.verdict] += 1
            met.update(outcome.rules)
            if outcome.verdict == UNLISTED:
                print(f"\nUnlisted difference in session {done}:")
                print(comparison.report(session), flush=True)
                if verdicts[UNLISTED] >= _ENOUGH_REPORTS:
                    break
            now = time.monotonic()
            if now >= report_next:
                report_next = now + _PROGRESS_EVERY
                _progress(done, now - started)
    _progress(sum(verdicts.values()), time.monotonic() - started)
    for what, times in verdicts.most_common():
        print(f"{times:9} {what}")
    print("Rules that the listed ones met:")
    for what, times in met.most_common():
        print(f"{times:9} {what}")
    return 1 if verdicts[UNLISTED] else 0


def _show(seed: int, number: int) -> int:
    """Print what both sides say in one session; return the exit status."""
    session = next(itertools.islice(generate.sessions(seed), number - 1, None))
    print(session.source())
    with Comparison() as comparison:
        for side, transcript in comparison.sides(session).items():
            print(f"\n{side}:")
            pprint.pprint(dataclasses.asdict(transcript), sort_dicts=False)
        outcome = comparison.outcome(session)
    print(f"\n{outcome.verdict}", *outcome.rules, *outcome.differences, sep="\n")
    return 1 if outcome.verdict == UNLISTED else 0


def _progress(done: int, elapsed: float) -> None:
    print(
        f"{done:9} sessions in {elapsed:.0f} s, {done / elapsed:.0f} a second",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
