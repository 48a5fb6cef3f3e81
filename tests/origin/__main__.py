"""``python -m tests.origin``: print the longest shared runs, longest first."""

from __future__ import annotations

import argparse

from tests.origin.shared import LIMIT, originals, ours, runs

parser = argparse.ArgumentParser(prog="python -m tests.origin", description=__doc__)
parser.add_argument("--at-least", type=int, default=4, help="lines of a run")
parser.add_argument("--lines", action="store_true", help="print the lines, too")
arguments = parser.parse_args()

theirs = originals()
if not theirs:
    raise SystemExit("no interpreter up to 3.11 at hand, which has the original")
found = sorted(runs(ours(), theirs, arguments.at_least), reverse=True)
for run in found:
    places = [f"{path}:{number}" for path, number in (run.ours, run.theirs)]
    print(len(run.lines), *places)
    if arguments.lines:
        print(*(f"    {line}" for line in run.lines), sep="\n")
longest = max((len(run.lines) for run in found), default=0)
print(f"{len(ours())} files compared with {len(theirs)}; the longest run: {longest}")
raise SystemExit(longest > LIMIT)
