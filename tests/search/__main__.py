"""The long search: ``python -m tests.search --sessions 500000 --seed 1``.

Exit status 0 if nothing was found, 1 if something was, 2 for bad usage.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from typing import Optional, Sequence

from .search import Found, search

_PROGRESS_EVERY = 30.0


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the search, print what comes of it, return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.search", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--sessions", type=int, default=500_000, metavar="N")
    parser.add_argument("--seed", type=int, help="default: a fresh one")
    options = parser.parse_args(arguments)
    seed = (
        random.SystemRandom().getrandbits(32) if options.seed is None else options.seed
    )
    version = sys.version.split()[0]
    print(f"{options.sessions} sessions from seed {seed} on Python {version}")
    started = time.monotonic()
    report_next = started + _PROGRESS_EVERY

    def progress(done: int, octets: int) -> None:
        nonlocal report_next
        now = time.monotonic()
        if now >= report_next or done == options.sessions:
            report_next = now + _PROGRESS_EVERY
            rate = done / (now - started)
            print(
                f"{done:9} sessions, {octets:12} octets, {rate:.0f} a second",
                flush=True,
            )

    try:
        search(seed, options.sessions, progress)
    except Found as found:
        print(found)
        return 1
    print("nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
