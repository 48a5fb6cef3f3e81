"""The command line: ``python -m tests.benchmarks``, see `tests.benchmarks`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, TypeVar

import tests.benchmarks
from tests.benchmarks.environments import ROOT, Missing, installed
from tests.benchmarks.relays import WORKLOADS
from tests.benchmarks.report import Report, as_markdown, as_text
from tests.benchmarks.servers import HERE, SERVERS, Server
from tests.benchmarks.workloads import Workload

if TYPE_CHECKING:
    from tests.benchmarks.workloads import Measurement

    Named = TypeVar("Named", Server, Workload)

#: Connections that a server holds in one of the workloads, and some more.
DESCRIPTORS = 16384


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=(tests.benchmarks.__doc__ or "").partition("\n")[0],
    )
    parser.add_argument(
        "--workload",
        nargs="+",
        metavar="NAME",
        default=[""],
        help="only workloads whose names start so: "
        + ", ".join(workload.name for workload in WORKLOADS),
    )
    parser.add_argument(
        "--servers",
        nargs="+",
        metavar="NAME",
        default=[""],
        help="only servers whose names start so: "
        + ", ".join(server.name for server in SERVERS)
        + f"; or {HERE.name} ({HERE.title}, which needs nothing installed)",
    )
    parser.add_argument("--rounds", type=int, default=5, help="5 unless given")
    parser.add_argument(
        "--quick", action="store_true", help="one small round, to see that all works"
    )
    parser.add_argument(
        "--cores",
        choices=("apart", "same", "any"),
        default="",
        help="where server and load run, unless each workload is to decide",
    )
    parser.add_argument("--json", metavar="FILE", help="write all measurements to FILE")
    parser.add_argument(
        "--from-json", metavar="FILE", help="measure nothing, report what FILE holds"
    )
    parser.add_argument(
        "--markdown", action="store_true", help="print the tables of docs/speed.md"
    )
    arguments = parser.parse_args()
    if not _chosen(WORKLOADS, arguments.workload):
        parser.error("no such workload")
    return arguments


def _chosen(all_of_them: list[Named], starts: list[str]) -> list[Named]:
    return [
        one
        for one in all_of_them
        if any(one.name.startswith(start) for start in starts)
    ]


def _available(names: list[str], skipped: dict[str, str]) -> list[Server]:
    """The servers asked for that can run here; why not, for the others."""
    servers = _chosen(SERVERS, names)
    if HERE.name in names:
        servers.append(HERE)
    for server in list(servers):
        try:
            server.argv("program")
        except Missing as missing:
            skipped[server.name] = str(missing)
            servers.remove(server)
    return servers


def _measure(
    servers: list[Server], workloads: list[Workload], rounds: int, **options: Any
) -> dict[str, dict[str, list[Measurement]]]:
    """All rounds, interleaved; each starts with another server."""
    results: dict[str, dict[str, list[Measurement]]] = {
        workload.name: {} for workload in workloads
    }
    for number in range(rounds):
        first = number % max(1, len(servers))
        for workload in workloads:
            if number >= workload.rounds:
                continue
            print(f"round {number + 1} of {rounds}: {workload.name}", file=sys.stderr)
            measured = {
                server.name: workload.measure(server, **options)
                for server in servers[first:] + servers[:first]
            }
            for server in servers:
                measurement = measured[server.name]
                if measurement is not None:
                    of_server = results[workload.name].setdefault(server.name, [])
                    of_server.append(measurement)
    return results


def _facts(
    servers: list[Server], skipped: dict[str, str], rounds: int
) -> dict[str, Any]:
    packages = {
        line
        for server in servers
        if server.requirements
        for line in installed(server.argv("program")[0])
    }
    return {
        "command": " ".join(["python -m tests.benchmarks", *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%d"),
        "commit": _commit() or "none",
        "machine": f"{os.cpu_count()} cores, {_processor()}, {platform.platform()}",
        "packages": ", ".join(sorted(packages)) or "none",
        "rounds": rounds,
        "skipped": "; ".join(f"{name}: {why}" for name, why in skipped.items())
        or "none",
        "load average at the start": f"{os.getloadavg()[0]:.2f}",
    }


def _commit() -> str:
    """The commit that is checked out, where there are a repository and git."""
    if shutil.which("git") is None:
        return ""
    command = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    return done.stdout.decode().strip()


def _processor() -> str:
    with open("/proc/cpuinfo") as cpuinfo:
        for line in cpuinfo:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _run(arguments: argparse.Namespace) -> Report:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < DESCRIPTORS:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(DESCRIPTORS, hard), hard))
    skipped: dict[str, str] = {}
    servers = _available(arguments.servers, skipped)
    workloads = _chosen(WORKLOADS, arguments.workload)
    rounds = 1 if arguments.quick else arguments.rounds
    facts = _facts(servers, skipped, rounds)
    options = {"quick": arguments.quick, "cores": arguments.cores}
    return Report(facts, _measure(servers, workloads, rounds, **options))


def main() -> None:
    """Measure, or read what has been measured, and report it."""
    arguments = _arguments()
    if arguments.from_json:
        with open(arguments.from_json, encoding="utf-8") as file:
            report = Report(**json.load(file))
    else:
        report = _run(arguments)
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(
                {"facts": report.facts, "results": report.results}, file, indent=1
            )
    print(as_markdown(report) if arguments.markdown else as_text(report), end="")


if __name__ == "__main__":
    main()
