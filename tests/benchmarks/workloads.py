"""What is measured: the loads, and what has to come out of them."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tests.benchmarks.environments import ROOT, clean_environment
from tests.benchmarks.servers import DidNotStart, Running, Server, running

if TYPE_CHECKING:
    #: One server with one workload in one round: ``units`` of work, the ``seconds``,
    #: ``server_cpu`` and ``load_cpu`` (in seconds) and ``peak_growth`` (in octets)
    #: that they took, what else the load counts; or the reason under ``failed``.
    Measurement = Mapping[str, Any]

MEGABYTE = 1_000_000

#: For a single client that waits for every reply, see "Pitfalls".
TAKING_TURNS = {"cores": "same"}


#: Rows that the others cannot do, or would need minutes for.
ONLY_OURS = ("package-3.11", "package-3.13", "package-here")


@dataclass(frozen=True)
class Target:
    """A bound for a figure of *subject*, or for its ratio to another one.

    *figure* is a name in `report.FIGURES`.  It is divided by the same figure of
    *server*, or of the subject with another *workload*, where one is given; with
    *difference*, that is subtracted instead.  With *noise*, a ratio above the bound
    counts as met if it reached 1 in some round.
    """

    figure: str
    bound: float
    server: str = ""
    workload: str = ""
    subject: str = "package-3.11"
    at_least: bool = False
    noise: bool = False
    difference: bool = False


#: What has to come out of every row.
EVERYWHERE = (
    Target("cpu", 0.5, "aiosmtpd-3.13", subject="package-3.13"),
    Target("cpu", 1.05, "package-3.11", subject="package-3.13", noise=True),
)


def _cpu(bound: float, server: str = "original-3.11") -> Target:
    return Target("cpu", bound, server)


def _memory(bound: float) -> Target:
    return Target("memory", bound)


@dataclass(frozen=True)
class Workload:
    """One row of the table.

    *load* is what `load` runs, *quick* what differs in the smoke test, and *instead*
    what differs for servers whose names start with the key.  *role* says which of a
    server's commands is run.  *only* names the servers that take part, if not all do,
    and *rounds* the number that is enough, where a row costs more than it tells.
    """

    name: str
    title: str
    unit: str
    load: Mapping[str, Any] = field(default_factory=dict)
    quick: Mapping[str, Any] = field(default_factory=dict)
    targets: tuple[Target, ...] = ()
    role: str = "program"
    instead: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    only: tuple[str, ...] = ()
    rounds: int = 1000

    def measure(
        self, server: Server, quick: bool = False, cores: str = ""
    ) -> Measurement | None:
        """Run it against a process of *server*, or None if it does not take part.

        :param cores: what to use in place of the workload's own, see `load.settle`.

        :raises environments.Missing: if the server cannot be started here.
        """
        if self.only and server.name not in self.only:
            return None
        argv = server.argv(self.role)
        if not argv:
            return None
        load = {"cores": "apart", **self.load} if self.serves else dict(self.load)
        for prefix, changes in self.instead.items():
            if server.name.startswith(prefix):
                load.update(changes)
        if quick:
            load.update(self.quick)
        if cores and self.serves:
            load["cores"] = cores
        if not self.serves:
            return _start_up(argv, **load)
        try:
            with running(argv) as server_process:
                return _run_load(load, server_process)
        except DidNotStart as error:
            return {"failed": f"does not start: {error}"}

    @property
    def serves(self) -> bool:
        """Whether there is a server, or only its start."""
        return self.role.startswith(
            ("program", "command_line", "relay", "debugging")
        )


def _run_load(load: Mapping[str, Any], server: Running) -> Measurement:
    """Run the load generator.

    :raises subprocess.CalledProcessError: if it fails in a way it does not know.
    """
    options = {**load, "pid": server.process.pid, "port": server.port}
    command = [sys.executable, "-m", "tests.benchmarks.load", json.dumps(options)]
    done = subprocess.run(
        command, cwd=ROOT, env=clean_environment(), stdout=subprocess.PIPE, check=True
    )
    result: Measurement = json.loads(done.stdout)
    last_words = server.last_words() if "failed" in result else ""
    return {"failed": f"its process ended: {last_words}"} if last_words else result


def _start_up(argv: list[str], times: int) -> Measurement:
    """Start a process that ends by itself; the medians of wall time and CPU."""
    wall, cpu = [], []
    for _ in range(times):
        start = time.perf_counter()
        process = subprocess.Popen(
            argv,
            cwd=ROOT,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall.append(time.perf_counter() - start)
        cpu.append(usage.ru_utime + usage.ru_stime)
        # subprocess has to know as well that nobody is left to wait for.
        process.returncode = os.WEXITSTATUS(status)
        if status:
            return {"failed": f"exit status {process.returncode}"}
    return {
        "units": 1,
        "seconds": statistics.median(wall),
        "server_cpu": statistics.median(cpu),
        "load_cpu": 0.0,
        # ru_maxrss would be the size of the process that forked.
        "peak_growth": 0,
    }


def _large(name: str, title: str, lines: str, size: int, *targets: Target) -> Workload:
    load = {"load": "large", "lines": lines, "octets": size * MEGABYTE}
    quick = {"octets": MEGABYTE // 5}
    slow: dict[str, dict[str, int]] = {}
    if lines == "empty":
        slow = {"aiosmtpd": {"octets": MEGABYTE}}
    return Workload(name, title, "MB", load, quick, targets, instead=slow)


def _recipients(name: str, title: str, template: str) -> Workload:
    load: dict[str, Any] = {
        "load": "recipients",
        "template": template,
        "count": 1000,
        "times": 4,
    }
    load.update(TAKING_TURNS)
    quick = {"count": 50, "times": 1}
    slow = {"aiosmtpd": {"times": 1}}
    return Workload(name, title, "RCPT", load, quick, (_cpu(0.38),), instead=slow)


def _noops(count: int, times: int, *targets: Target) -> Workload:
    name, title = f"noops-{count}", f"{count:,} NOOPs in one go"
    load = {"load": "pipelined", "count": count, "times": times}
    quick = {"count": count // 50, "times": 1}
    return Workload(name, title, "NOOP", load, quick, (_cpu(0.50), *targets))


def _idle(count: int, *targets: Target) -> Workload:
    name, title = f"idle-{count}", f"{count:,} idle connections, command line"
    load: dict[str, Any] = {
        "load": "kept_open",
        "sessions": 1,
        "seconds": 0.4,
        "idle": count,
    }
    load.update(TAKING_TURNS)
    quick = {"idle": count // 50, "seconds": 0.1}
    return Workload(name, title, "message", load, quick, targets, "command_line")


def _newcomers(idle: int, *targets: Target) -> Workload:
    beside = f" beside {idle:,} idle ones" if idle else ""
    load = {"load": "newcomers", "count": 1000, "idle": idle, **TAKING_TURNS}
    return Workload(
        f"newcomers-{idle}",
        f"a connection and QUIT{beside}, command line",
        "connection",
        load,
        {"count": 20, "idle": idle // 100},
        targets,
        "command_line",
        only=ONLY_OURS,
    )


def _refused(limit: int) -> Workload:
    """One more than the command line allows."""
    return replace(
        _newcomers(limit, Target("cpu", 1.5, "", "newcomers-0")),
        name="refused",
        title=f"a connection that is refused, {limit:,} being open, command line",
        load={
            "load": "newcomers",
            "count": 1000,
            "idle": limit,
            "code": "421",
            **TAKING_TURNS,
        },
        quick={"count": 20, "idle": 20, "code": "220"},
    )


def _idle_poll(count: int) -> Workload:
    """The same for a program, as the original's command line cannot do it."""
    return replace(
        _idle(count),
        name=f"idle-{count}-poll",
        title=f"{count:,} idle connections, `asyncore.loop(use_poll=True)`",
        role="program",
        only=("original-3.11", "package-3.11"),
        rounds=2,
    )


def _with_threads(sessions: int, where: Mapping[str, str]) -> list[Workload]:
    """What a thread for the handler costs, beside the same without."""
    load = {"load": "kept_open", "sessions": sessions, "seconds": 0.5, **where}
    quick = {"seconds": 0.1}
    only = ("package-3.11", "package-3.13", "package-here")
    plural = "s" if sessions > 1 else ""
    on_loop = Workload(
        f"handler-on-loop-{sessions}",
        f"1 kB messages, {sessions} session{plural}, the handler on the loop's thread",
        "message",
        load,
        quick,
        only=only,
    )
    targets = tuple(
        Target(
            "microseconds",
            150,
            workload=on_loop.name,
            subject=subject,
            difference=True,
        )
        for subject in only[:2]
    )
    in_thread = replace(
        on_loop,
        name=f"handler-in-thread-{sessions}",
        title=f"1 kB messages, {sessions} session{plural}, the handler in a thread",
        targets=targets,
        role="program_with_threads",
    )
    return [on_loop, in_thread]


def _start(name: str, title: str, role: str, bound: float) -> Workload:
    target = Target("wall", bound, "original-3.11")
    return Workload(name, title, "start", {"times": 10}, {"times": 2}, (target,), role)


WORKLOADS = [
    Workload(
        "kept-open-20",
        "1 kB messages, 20 sessions kept open",
        "message",
        {"load": "kept_open", "sessions": 20, "seconds": 0.5},
        {"seconds": 0.1},
        (_cpu(0.42), _cpu(1.8, "do-nothing-3.11")),
    ),
    Workload(
        "kept-open-1",
        "1 kB messages, 1 session",
        "message",
        {"load": "kept_open", "sessions": 1, "seconds": 0.5, **TAKING_TURNS},
        {"seconds": 0.1},
        (_cpu(0.70),),
    ),
    Workload(
        "visits",
        "a connection per message, 4 at once",
        "message",
        {"load": "visits", "at_once": 4, "seconds": 0.5},
        {"seconds": 0.1},
        (
            _cpu(0.30),
            _cpu(1.4, "do-nothing-3.11"),
            Target("throughput", 20, "original-3.11", at_least=True),
        ),
    ),
    _newcomers(0),
    _newcomers(8000, Target("cpu", 1.5, "", "newcomers-0")),
    _refused(8192),
    Workload(
        "crowd",
        "500 clients connect at once",
        "client",
        {"load": "crowd", "clients": 500, "patience": 3.0},
        {"clients": 20},
        (Target("failures", 0), Target("slowest", 0.5)),
    ),
    _large(
        "lines",
        "20 MB, 76-character lines",
        "76-characters",
        20,
        _cpu(0.40),
        _memory(2.1),
    ),
    _large(
        "dotted-lines",
        "20 MB of lines that start with a dot",
        "dotted",
        20,
        _cpu(0.50),
        _memory(2.5),
    ),
    _large(
        "empty-lines",
        "20 MB of empty lines",
        "empty",
        20,
        _cpu(0.17),
        _memory(2.1),
    ),
    Workload(
        "debugging",
        "DebuggingServer, 1 kB messages, 1 session",
        "message",
        {"load": "kept_open", "sessions": 1, "seconds": 0.5, **TAKING_TURNS},
        {"seconds": 0.1},
        (_cpu(0.40),),
        role="debugging",
    ),
    replace(
        _large(
            "debugging-lines",
            "DebuggingServer, 3 MB of 60-character lines",
            "60-characters",
            3,
            _cpu(0.35),
        ),
        role="debugging",
    ),
    replace(
        _large(
            "debugging-short-lines",
            "DebuggingServer, 32 MB of 3-character lines",
            "short",
            32,
            Target("wall", 1.5 / 32),
            _memory(3.0),
        ),
        role="debugging",
        only=ONLY_OURS,
    ),
    _large("one-line", "one line of 30 MB", "one", 30, _cpu(0.70), _memory(2.1)),
    _recipients("recipients", "1,000 RCPTs", "recipient%d@example.org"),
    _recipients("quoted-recipients", "1,000 quoted RCPTs", '"re ci.%d"@example.org'),
    _noops(5000, 4),
    _noops(40000, 1, Target("cpu", 1.2, "", "noops-5000")),
    _idle(100),
    _idle(3000, Target("cpu", 1.3, "", "idle-100")),
    _idle_poll(100),
    _idle_poll(3000),
    *_with_threads(1, TAKING_TURNS),
    *_with_threads(4, {}),
    _start("version", "`python -m smtpd_compat -V`", "show_version", 0.6),
    _start("import", "`import smtpd_compat`", "import_only", 0.6),
    # With what the row above leaves for later; the bound is not one of the project's.
    _start(
        "import-server", "`from smtpd_compat import SMTPServer`", "import_server", 1.0
    ),
]
