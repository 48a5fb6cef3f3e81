"""The benchmark starts; what it says about speed is not for an ordinary test run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.environments import ROOT

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="reads what Linux knows about processes"
)


def run_benchmark(*arguments: str) -> str:
    """The benchmark's standard output, measuring this package alone."""
    command = [sys.executable, "-m", "tests.benchmarks", "--quick"]
    command += ["--servers", "package-here", "--workload", "kept-open-20", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, timeout=60, check=False
    )
    assert not done.returncode, done.stderr.decode()
    return done.stdout.decode()


def test_benchmark_measures_this_package_and_reports_the_figures(
    tmp_path: Path,
) -> None:
    measurements = tmp_path / "measurements.json"

    printed = run_benchmark("--json", str(measurements))

    results = json.loads(measurements.read_text())["results"]
    (measured,) = results["kept-open-20"]["package-here"]
    assert measured["units"] > 0
    assert 0 < measured["server_cpu"] < 10 * measured["seconds"]
    assert measured["load_cpu"] > 0
    cost = 1e6 * measured["server_cpu"] / measured["units"]
    assert f"{cost:,.0f}" in printed or f"{cost:.1f}" in printed


def test_benchmark_prints_the_table_for_the_readme() -> None:
    printed = run_benchmark("--markdown")

    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in printed.splitlines()
        if line.startswith("| 1 kB messages, 20 sessions")
    ]
    costs = cells[1]
    assert costs[1] == "message"
    assert float(costs[2]) > 0
