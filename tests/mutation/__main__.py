"""Random mutation testing: which small changes of the package does no test notice?

    python -m tests.mutation [--count 320] [--seed 1] [--workers 1] [--minutes 30]
    python -m tests.mutation --list               what would be drawn
    python -m tests.mutation --report             what the runs so far say
    python -m tests.mutation --show ID...         mutants as diffs
    python -m tests.mutation --only ID...         these, drawn or not
    python -m tests.mutation --list --room _loop  every mutant of a room
    python -m tests.mutation --confirm ID...      survivors against the tests left out
    python -m tests.mutation --everything --confirm ID...    against all tests

A tool for developers, not part of the suite.  The checkout is only read.  In --work
there are, made once: a copy of the checkout and a virtual environment for each worker,
and which test runs which line.  Results go to results.jsonl there; a mutant that has a
result is not run again.  Take a new --work after the code has changed.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import difflib
import json
import queue
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.mutation.mutants import Mutant, apply
from tests.mutation.sample import draw, file_of, find_all
from tests.mutation.workers import Chooser, Worker, check, confirm, measure


def diff(checkout: Path, m: Mutant) -> str:
    text = file_of(checkout, m.module).read_text()
    lines = difflib.unified_diff(
        text.splitlines(), apply(text, m).splitlines(), lineterm="", n=2
    )
    return "\n".join(list(lines)[2:])


def report(results):
    modules = collections.defaultdict(collections.Counter)
    for r in results:
        if not r["control"]:
            modules[r["module"]][r["outcome"]] += 1
    total = collections.Counter()
    outcomes = ("caught", "hung", "survived", "uncovered")
    print(f"{'module':24} mutants", *outcomes)
    for name in [*sorted(modules), "all"]:
        counts = modules.get(name, total)
        columns = [f"{counts[outcome]:{len(outcome)}}" for outcome in outcomes]
        print(f"{name:24} {sum(counts.values()):7}", *columns)
        total.update(counts if name != "all" else ())
    if total:
        print(f"score {(total['caught'] + total['hung']) / sum(total.values()):.1%}")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--work", type=Path, default=Path(tempfile.gettempdir(), "mutation-work")
    )
    parser.add_argument("--count", type=int, default=320)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--controls", type=int, default=6)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--show", nargs="+")
    parser.add_argument("--only", nargs="+")
    parser.add_argument("--room")
    parser.add_argument("--confirm", nargs="+")
    parser.add_argument("--everything", action="store_true", help="with --confirm")
    options = parser.parse_args()
    checkout, work = Path(__file__).parents[2], options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    results_path = work / "results.jsonl"
    results = []
    if results_path.exists():
        results = [json.loads(line) for line in results_path.read_text().splitlines()]
    if options.report:
        report(results)
        return
    modules = find_all(checkout, options.seed)
    if options.room:
        sample = modules[options.room]
    elif options.only or options.show or options.confirm:
        sample = [m for mutants in modules.values() for m in mutants]
    else:
        sample = draw(modules, options.count, options.seed)
    by_id = {m.id: m for m in sample}
    if options.only:
        sample = [by_id[wanted] for wanted in options.only]
    if options.list:
        for m in sample:
            print(m.id, m.kind, m.what)
        print({k: len(v) for k, v in modules.items()}, len(sample))
        print(collections.Counter(m.kind for m in sample))
        return
    if options.show:
        for wanted in options.show:
            print(
                f"=== {wanted}  [{by_id[wanted].kind}]\n{diff(checkout, by_id[wanted])}"
            )
        return
    workers = [
        Worker(checkout, work, n, options.python) for n in range(options.workers)
    ]
    if not (work / "lines.json").exists():
        measure(workers[0], work)
    chooser = Chooser(work, checkout)
    free = queue.Queue()
    for worker in workers:
        free.put(worker)
    deadline = time.time() + options.minutes * 60

    def one(job):
        m, is_control = job
        if time.time() > deadline:
            return None
        worker = free.get()
        try:
            if options.confirm:
                return confirm(worker, m, options.everything)
            return check(worker, chooser, m, is_control)
        finally:
            free.put(worker)

    if options.confirm:
        jobs = [(by_id[i], False) for i in options.confirm]
        results_path = work / "confirmed.jsonl"
    else:
        done = {r["id"] for r in results if not r["control"]}
        jobs = [(m, False) for m in sample if m.id not in done]
        random.Random(str(options.seed)).shuffle(jobs)
        controls = random.Random(f"{options.seed}/controls").sample(
            sample, min(options.controls, len(sample))
        )
        if not any(r["control"] for r in results):
            step = max(1, len(jobs) // (len(controls) + 1))
            for n, m in enumerate(controls):
                jobs.insert((n + 1) * step, (m, True))
    with concurrent.futures.ThreadPoolExecutor(len(workers)) as pool:
        with open(results_path, "a") as file:
            for n, result in enumerate(pool.map(one, jobs)):
                if result is None:
                    continue
                file.write(json.dumps(result) + "\n")
                file.flush()
                print(
                    n + 1,
                    len(jobs),
                    result["id"],
                    result.get("outcome", result.get("code")),
                    result["seconds"],
                    "no mutant, a control" if result.get("control") else "",
                    result.get("what", ""),
                    flush=True,
                )
    if not options.confirm:
        report([json.loads(line) for line in results_path.read_text().splitlines()])


if __name__ == "__main__":
    main()
