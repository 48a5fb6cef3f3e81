"""Workers: copies of the checkout in which mutants meet the tests."""

from __future__ import annotations

import ast
import collections
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from tests.mutation.mutants import Mutant, apply
from tests.mutation.sample import PACKAGE, file_of, module_of

HERE = Path(__file__).parent

#: Not run against every mutant; --confirm runs them against those that survive.
SLOW_PATHS = [
    "tests/benchmarks",
    "tests/stdlib",
    "tests/functional/test_behind_postfix.py",
    "tests/functional/test_real_relays.py",
]
SLOW_TESTS = ["tests/test_eras.py::test_the_table_of_eras_is_what_happens"]

#: A module's own tests, where they are not called as it is.
OWN = {
    "__init__": ["namespace"],
    "__main__": [
        "commandline",
        "differential/test_commandline",
        "functional/test_command_line",
        "functional/test_console_script",
    ],
    "_asyncore": ["namespace", "stream_turns"],
    "_clients": ["server", "stream_turns"],
    "_commandline": [
        "commandline",
        "differential/test_commandline",
        "functional/test_command_line",
    ],
    "_connection/_output": ["stream_turns", "assigned_later"],
    "_connection/_session": ["channel", "one_reply", "returned_replies", "old_names"],
    "_connection/_stream": ["stream_input", "stream_turns"],
    "_eras/_calls": ["legacy", "adopting"],
    "_eras/_names": ["old_names"],
    "_eras/_old_name": ["namespace", "recipes/test_old_name"],
    "_eras/_refusals": ["refusals", "text_hooks", "kinds"],
    "_eras/_warnings": ["deprecations"],
    "_preload": ["server", "namespace"],
    "_relays/_blocking": ["relay", "relay_pool"],
    "_relays/_client": ["relay_client"],
    "_relays/_pool": ["relay_pool"],
    "_relays/_pure": ["relay", "relay_pool"],
    "_relays/_upstream": ["relay_pool"],
    "_server": ["server", "accepting"],
    "_settings": ["server"],
    "_stopping": ["functional/test_stopping"],
    "_watching": ["loop"],
}


class Worker:
    """A copy of the checkout, with a virtual environment of its own."""

    def __init__(self, checkout: Path, work: Path, number: int, python: str):
        self.home = work / f"w{number}"
        self.src = self.home / "src"
        self.venv = self.home / "venv"
        self.python = str(self.venv / "bin" / "python")
        self.original = {}
        if not (self.home / "ready").exists():
            shutil.rmtree(self.home, ignore_errors=True)
            self.home.mkdir(parents=True)
            shutil.copytree(
                checkout,
                self.src,
                symlinks=True,
                ignore=shutil.ignore_patterns(
                    ".git", "__pycache__", ".venv", ".tox", "*.egg-info", "shared"
                ),
            )
            subprocess.run([python, "-m", "venv", str(self.venv)], check=True)
            subprocess.run(
                [
                    self.python,
                    "-m",
                    "pip",
                    "install",
                    "-q",
                    "-e",
                    ".[test]",
                    "coverage",
                    "pytest-timeout",
                ],
                cwd=self.src,
                check=True,
            )
            (self.home / "ready").touch()
        site = next((self.venv / "lib").glob("python*")) / "site-packages"
        shutil.copy(HERE / "plugin.py", site / "mutplug.py")
        shutil.copy(HERE / "tracer.py", site / "muttrace.py")
        (site / "zz_mut.pth").write_text(
            "import os; os.environ.get('MUT_TEST') and __import__('muttrace')\n"
        )
        for path in (self.src / PACKAGE).rglob("*.py"):
            module = module_of(self.src, path)
            self.original[module] = file_of(checkout, module).read_text()
            self.restore(module)

    def pytest(self, arguments, config, limit):
        config = dict(
            config, package=str(self.src / PACKAGE), current=str(self.home / "current")
        )
        (self.home / "config.json").write_text(json.dumps(config))
        (self.home / "current").write_text("")
        env = dict(
            os.environ,
            MUT_CONFIG=str(self.home / "config.json"),
            MUT_PACKAGE=str(self.src / PACKAGE),
            PYTHONHASHSEED="0",
        )
        env.pop("MUT_TEST", None)
        env.pop("PYTHONPATH", None)  # may name a checkout without the mutant
        process = subprocess.Popen(
            [
                "nice",
                "-n",
                "10",
                self.python,
                "-m",
                "pytest",
                "-q",
                "-p",
                "no:cacheprovider",
                "-p",
                "mutplug",
                "--tb=short",
                "--timeout-method=thread",
                *arguments,
            ],
            cwd=self.src,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            # In the background of a shell SIGINT is ignored, and tests send it.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        try:
            out, _ = process.communicate(timeout=limit)
            code = process.returncode
        except subprocess.TimeoutExpired:
            out, code = "", "hung"
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except OSError:
            pass
        process.wait()
        if code == "hung":
            process.stdout.close()
        return code, out

    def put(self, m: Mutant):
        self.write(m.module, apply(self.original[m.module], m))

    def restore(self, module):
        self.write(module, self.original[module])

    def write(self, module, text):
        path = file_of(self.src, module)
        path.write_text(text)
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
            compiled.unlink()


def measure(worker: Worker, work: Path):
    """Which test runs which line; how long each takes."""
    trace = work / "trace"
    shutil.rmtree(trace, ignore_errors=True)
    trace.mkdir()
    ignored = [f"--ignore={d}" for d in SLOW_PATHS]
    deselected = [f"--deselect={t}" for t in SLOW_TESTS]
    code, out = worker.pytest(
        ["tests", *ignored, *deselected],
        {
            "cover": str(work / "coverage.db"),
            "trace": str(trace),
            "write_times": str(work / "times.json"),
        },
        900,
    )
    print(out[-600:])
    script = (
        "import coverage, json, sys\n"
        "d = coverage.CoverageData(sys.argv[1]); d.read(); r = {}\n"
        "for f in d.measured_files():\n"
        "    r[f] = d.contexts_by_lineno(f)\n"
        "json.dump(r, open(sys.argv[2], 'w'))\n"
    )
    subprocess.run(
        [
            worker.python,
            "-c",
            script,
            str(work / "coverage.db"),
            str(work / "contexts.json"),
        ],
        check=True,
    )
    lines = collections.defaultdict(lambda: collections.defaultdict(set))
    for name, by_line in json.loads((work / "contexts.json").read_text()).items():
        for line, tests in by_line.items():
            lines[module_of(worker.src, Path(name))][int(line)].update(
                t for t in tests if t
            )
    if (trace / "lines").exists():
        for row in (trace / "lines").read_text().splitlines():
            name, line, test = row.split("\t")
            lines[module_of(worker.src, Path(name))][int(line)].add(test)
    (work / "lines.json").write_text(
        json.dumps(
            {
                m: {line: sorted(ts) for line, ts in by.items()}
                for m, by in lines.items()
            }
        )
    )


def own_files(module: str) -> list[str]:
    """The test files of a room."""
    names = OWN.get(module, [module.rpartition("/")[2].lstrip("_")])
    return [f"tests/{n}.py" if "/" in n else f"tests/test_{n}.py" for n in names]


class Chooser:
    """Which tests may notice a mutant."""

    def __init__(self, work: Path, checkout: Path):
        raw = json.loads((work / "lines.json").read_text())
        self.lines = {
            m: {int(k): set(v) for k, v in by.items()} for m, by in raw.items()
        }
        self.times = json.loads((work / "times.json").read_text())
        self.inside = {}  # module: lines inside functions
        self.users = collections.defaultdict(set)  # identifier: (module, line)
        for path in (checkout / PACKAGE).rglob("*.py"):
            module = module_of(checkout, path)
            tree = ast.parse(path.read_text())
            inside = set()
            for node in ast.walk(tree):
                if isinstance(node, (ast.FunctionDef, ast.Lambda)):
                    body = node.body if isinstance(node.body, list) else [node.body]
                    inside.update(range(body[0].lineno, node.end_lineno + 1))
            self.inside[module] = inside
            for node in ast.walk(tree):
                name = getattr(node, "id", None) or getattr(node, "attr", None)
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    name = node.value
                if name and getattr(node, "lineno", 0) in inside:
                    self.users[name].add((module, node.lineno))

    def tests(self, m: Mutant):
        by = self.lines.get(m.module, {})
        wanted = set()
        if m.scope is not None:
            for line in range(m.lines[0], m.lines[1] + 1):
                wanted |= by.get(line, set())
            return wanted, "line"
        for name in m.names:
            for module, line in self.users.get(name, ()):
                wanted |= self.lines.get(module, {}).get(line, set())
        if wanted:
            return wanted | {t for t in self.times if self.is_own(m.module, t)}, "users"
        for line in self.inside.get(m.module, ()):
            wanted |= by.get(line, set())
        return wanted | {t for t in self.times if self.is_own(m.module, t)}, "module"

    @staticmethod
    def is_own(module, test):
        return test.split("::")[0] in own_files(module)

    def stages(self, m: Mutant):
        wanted, how = self.tests(m)
        own = sorted(
            (t for t in wanted if self.is_own(m.module, t)),
            key=lambda t: self.times.get(t, 1),
        )
        rest = sorted(
            (t for t in wanted if not self.is_own(m.module, t)),
            key=lambda t: self.times.get(t, 1),
        )
        return own, rest, how


def check(worker: Worker, chooser: Chooser, m: Mutant, is_control=False):
    own, rest, how = chooser.stages(m)
    result = {
        "id": m.id,
        "seed": m.seed,
        "module": m.module,
        "line": m.lines[0],
        "kind": m.kind,
        "what": m.what,
        "how": how,
        "own": len(own),
        "rest": len(rest),
        "outcome": "survived",
        "control": is_control,
    }
    started = time.time()
    if not is_control:
        worker.put(m)
    try:
        for stage, tests in (("own", own), ("rest", rest)):
            if not tests:
                continue
            expected = sum(chooser.times.get(t, 1) for t in tests)
            files = sorted({t.split("::")[0] for t in tests})
            code, out = worker.pytest(
                ["-x", *files],
                {"tests": tests, "times": chooser.times},
                30 + 4 * expected,
            )
            if code != 0:
                result["outcome"] = (
                    "hung" if code == "hung" or "+ Timeout +" in out else "caught"
                )
                result["stage"] = stage
                result["by"] = (worker.home / "current").read_text()
                result["code"] = code
                result["tail"] = out[-500:]
                break
        else:
            if not own and not rest:
                result["outcome"] = "uncovered"
    finally:
        if not is_control:
            worker.restore(m.module)
    result["seconds"] = round(time.time() - started, 1)
    return result


def confirm(worker: Worker, m: Mutant, everything: bool):
    """What `check` leaves out; or every test there is but the benchmarks."""
    tests = ["tests"] if everything else [*SLOW_PATHS, *SLOW_TESTS]
    started = time.time()
    worker.put(m)
    try:
        code, out = worker.pytest(
            ["-x", "--timeout=60", *tests, "--ignore=tests/benchmarks"], {}, 400
        )
    finally:
        worker.restore(m.module)
    return {
        "id": m.id,
        "code": code,
        "tail": out[-700:],
        "by": (worker.home / "current").read_text(),
        "seconds": round(time.time() - started, 1),
    }
