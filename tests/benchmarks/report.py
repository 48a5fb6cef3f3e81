"""From measurements to figures, ratios and tables."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.benchmarks.relays import WORKLOADS
from tests.benchmarks.servers import HERE, SERVERS
from tests.benchmarks.workloads import EVERYWHERE, MEGABYTE, Target, Workload

if TYPE_CHECKING:
    from tests.benchmarks.workloads import Measurement

    #: By workload and server: one measurement of each round.
    Results = Mapping[str, Mapping[str, list[Measurement]]]

TITLES = {server.name: server.title for server in [*SERVERS, HERE]}

#: What targets are about, and what they compare it with, unless they say otherwise.
SUBJECT, BASE = "package-3.11", "original-3.11"

#: What can be computed from a measurement.
FIGURES: dict[str, Callable[[Measurement], float]] = {
    "cpu": lambda measured: measured["server_cpu"] / measured["units"],
    "microseconds": lambda measured: 1e6 * measured["server_cpu"] / measured["units"],
    "throughput": lambda measured: measured["units"] / measured["seconds"],
    "wall": lambda measured: measured["seconds"] / measured["units"],
    # Only where the unit is a megabyte: how many times the message's size.
    "memory": lambda measured: measured["peak_growth"] / (measured["units"] * MEGABYTE),
    "growth": lambda measured: measured["peak_growth"] / MEGABYTE,
    "load": lambda measured: 100 * measured["load_cpu"] / measured["seconds"],
    "slowest": lambda measured: measured["slowest"],
    "failures": lambda measured: measured["failures"],
}

#: How a figure reads in a sentence.
PHRASES = {
    "cpu": "CPU",
    "microseconds": "CPU, µs more",
    "throughput": "throughput",
    "wall": "wall time",
    "memory": "peak memory, of the message",
    "slowest": "slowest client, s",
    "failures": "clients that fail",
}

#: How what it is divided by reads.
OTHERS = {
    "original-3.11": "the original's",
    "do-nothing-3.11": "the do-nothing server's",
    "aiosmtpd-3.13": "aiosmtpd's",
    "aiosmtpd-3.11": "aiosmtpd's on 3.11",
    "package-3.11": "that on 3.11",
    "noops-5000": "that with 5,000",
    "idle-100": "that with 100",
    "newcomers-0": "that with none idle",
    "handler-on-loop-1": "that on the loop's thread",
    "handler-on-loop-4": "that on the loop's thread",
}


class Spread(NamedTuple):
    """What the rounds came to."""

    low: float
    median: float
    high: float

    def __str__(self) -> str:
        if self.low == self.high:
            return _short(self.median)
        return f"{_short(self.median)} ({_short(self.low)}–{_short(self.high)})"


def spread(values: Iterable[float]) -> Spread | None:
    """The minimum, median and maximum, or None of no values."""
    values = list(values)
    if not values:
        return None
    return Spread(min(values), statistics.median(values), max(values))


def _short(value: float) -> str:
    """Three significant digits, without an exponent."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


@dataclass
class Report:
    """A whole run: what the machine was, and what it measured."""

    facts: Mapping[str, Any]
    results: Results

    def values(self, figure: str, workload: str, server: str) -> list[float | None]:
        """A figure of each round; None for a round in which it failed."""
        compute = FIGURES[figure]
        return [
            None
            if measured.get("failed") or not measured["units"]
            else compute(measured)
            for measured in self.results.get(workload, {}).get(server, [])
        ]

    def spread(self, figure: str, workload: str, server: str) -> Spread | None:
        """A figure over the rounds."""
        values = self.values(figure, workload, server)
        return spread(value for value in values if value is not None)

    def ratio(
        self, figure: str, one: tuple[str, str], other: tuple[str, str]
    ) -> Spread | None:
        """A figure of *one* divided by that of the *other* in the same round.

        :param one: the workload and the server.
        """
        pairs = self._pairs(figure, one, other)
        return spread(value / base for value, base in pairs if base)

    def difference(
        self, figure: str, one: tuple[str, str], other: tuple[str, str]
    ) -> Spread | None:
        """A figure of *one* less that of the *other*, as `ratio`."""
        pairs = self._pairs(figure, one, other)
        return spread(value - base for value, base in pairs)

    def _pairs(
        self, figure: str, one: tuple[str, str], other: tuple[str, str]
    ) -> Iterable[tuple[float, float]]:
        for value, base in zip(self.values(figure, *one), self.values(figure, *other)):
            if value is not None and base is not None:
                yield value, base

    def outcome(self, target: Target, workload: str) -> Spread | None:
        """What a target of *workload* has come to."""
        if not target.server and not target.workload:
            return self.spread(target.figure, workload, target.subject)
        other = target.workload or workload, target.server or target.subject
        compare = self.difference if target.difference else self.ratio
        return compare(target.figure, (workload, target.subject), other)

    def failure(self, workload: str, server: str) -> str:
        """Why there is no figure."""
        for measured in self.results[workload].get(server, []):
            if measured.get("failed"):
                return str(measured["failed"])
        return ""

    @property
    def workloads(self) -> list[Workload]:
        """Those which have been measured, in the usual order."""
        return [workload for workload in WORKLOADS if workload.name in self.results]


def met(target: Target, outcome: Spread) -> bool:
    """Whether the median keeps to the bound."""
    if target.at_least:
        return outcome.median >= target.bound
    return outcome.median <= target.bound or (target.noise and outcome.low <= 1)


def _describe(target: Target) -> str:
    phrase = PHRASES[target.figure]
    if target.subject != SUBJECT:
        phrase += " on 3.13"
    other = target.workload or target.server
    of = " than" if target.difference else ", of"
    return f"{phrase}{of} {OTHERS[other]}" if other else phrase


def _bound(target: Target) -> str:
    return ("at least " if target.at_least else "at most ") + _short(target.bound)


# As text


def as_text(report: Report) -> str:
    """Everything: per workload, each server and each target."""
    lines = [f"{name}: {value}" for name, value in report.facts.items()]
    for workload in report.workloads:
        lines += ["", f"{workload.name}: {workload.title}", *_table(report, workload)]
        for target in (*workload.targets, *EVERYWHERE):
            outcome = report.outcome(target, workload.name)
            if outcome:
                verdict = "met" if met(target, outcome) else "NOT MET"
                described = f"{_describe(target)}: {outcome}, {_bound(target)}"
                lines.append(f"  {described}: {verdict}")
    return "\n".join(lines) + "\n"


def _table(report: Report, workload: Workload) -> list[str]:
    unit = workload.unit
    # Memory: of a large message, in multiples of its size; otherwise in megabytes.
    memory = "memory" if unit == "MB" else "growth"
    form = "  {:<19} {:>26} {:>18} {:>31} {:>21} {:>5} {:>18} {:>18}"
    of = "of original's"
    heads = f"CPU µs/{unit}", of, f"{unit}/s", of, "load"
    size = "peak/message" if unit == "MB" else "peak, MB"
    lines = [form.format("", *heads, size, of if unit == "MB" else "").rstrip()]
    for server in report.results[workload.name]:
        at = workload.name, server
        cpu, throughput = report.spread("cpu", *at), report.spread("throughput", *at)
        if not cpu or not throughput:
            lines.append(f"  {server:<19} failed: {report.failure(*at)}")
            continue
        base = workload.name, BASE
        busy = report.spread("load", *at)
        cells = [
            Spread(*(1e6 * seconds for seconds in cpu)),
            report.ratio("cpu", at, base) or "",
            throughput,
            report.ratio("throughput", at, base) or "",
            f"{busy.median:.0f}%" if busy else "",
            report.spread(memory, *at),
            report.ratio(memory, at, base) or "" if unit == "MB" else "",
        ]
        lines.append(form.format(server, *map(str, cells)).rstrip())
    return lines


# As Markdown, for docs/speed.md


def as_markdown(report: Report) -> str:
    """The table of targets, and one of what a unit of work costs each server."""
    facts = report.facts
    return "\n".join(
        [
            f"`{facts['command']}`, {facts['date']}, {facts['machine']}, beside "
            f"{facts['packages']}. Medians of {facts['rounds']} rounds, with minimum "
            "and maximum.",
            "",
            *_targets_table(report),
            "",
            "Server CPU per unit of work, µs; `–`: not measured, or not able to.",
            "",
            *_costs_table(report),
            "",
        ]
    )


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _targets_table(report: Report) -> Iterable[str]:
    yield _row(
        [
            "Workload",
            "CPU, of the original's",
            "Target",
            "CPU, of aiosmtpd's (3.13)",
            "CPU on 3.13, of that on 3.11",
            "Also",
            "",
        ]
    )
    yield _row(7 * ["---"])
    of_aiosmtpd, of_older = EVERYWHERE
    for workload in report.workloads:
        if workload.only and not workload.targets:
            continue
        name = workload.name
        of_original = Target("cpu", 0, BASE)
        also = []
        for target in workload.targets:
            if target.figure == "cpu" and target.server == BASE:
                of_original = target
            else:
                outcome = report.outcome(target, name) or "–"
                also.append(f"{_describe(target)}: {outcome}, {_bound(target)}")
        yield _row(
            [
                workload.title,
                str(report.outcome(of_original, name) or "–"),
                _short(of_original.bound) if of_original.bound else "–",
                str(report.outcome(of_aiosmtpd, name) or "–"),
                str(report.outcome(of_older, name) or "–"),
                "; ".join(also),
                _verdict(report, workload),
            ]
        )


def _verdict(report: Report, workload: Workload) -> str:
    """``met``, or the targets which are not."""
    missed, outcomes = [], 0
    for target in (*workload.targets, *EVERYWHERE):
        outcome = report.outcome(target, workload.name)
        if outcome:
            outcomes += 1
            if not met(target, outcome):
                missed.append(_describe(target))
    if missed:
        return "not met: " + "; ".join(missed)
    return "met" if outcomes else "–"


def _costs_table(report: Report) -> Iterable[str]:
    servers = [
        name
        for name in TITLES
        if any(name in measured for measured in report.results.values())
    ]
    yield _row(["Workload", "Unit", *(TITLES[server] for server in servers)])
    yield _row((2 + len(servers)) * ["---"])
    for workload in report.workloads:
        spreads = [report.spread("cpu", workload.name, server) for server in servers]
        costs = [_short(1e6 * cpu.median) if cpu else "–" for cpu in spreads]
        yield _row([workload.title, workload.unit, *costs])
