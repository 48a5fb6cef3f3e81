"""Type checkers pass typed programs, find mistakes in them, and know every name.

On 3.11 they take asyncore's types from the standard library, on 3.13 from this package.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable

import pytest

import smtpd_compat

VERSIONS = ("3.11", "3.13")
PACKAGE = Path(smtpd_compat.__file__).parent
PROGRAMS = Path(__file__).with_name("typed")

PROGRAM = """\
from __future__ import annotations

from typing import Any

import smtpd_compat as smtpd


class Channel(smtpd.SMTPChannel):
    user: str | None = None

    def smtp_AUTH(self, arg: str | None) -> None:
        self.user = arg
        self.push("235 Authentication successful")

    def smtp_EHLO(self, arg: str | None) -> None:
        super().smtp_EHLO(arg)
        if self.seen_greeting and self.extended_smtp:
            print(self.peer, self.fqdn, self.mailfrom, self.rcpttos)

    def collect_incoming_data(self, data: bytes) -> None:
        super().collect_incoming_data(data)

    def found_terminator(self) -> None:
        print(self.received_lines, self.smtp_state == self.DATA)
        super().found_terminator()

    def push(self, msg: str | bytes) -> None:
        super().push(msg)


class Server(smtpd.SMTPServer):
    channel_class = Channel
    idle_timeout = 300.0
    worker_threads = 4

    def process_message(
        self,
        peer: Any,
        mailfrom: str,
        rcpttos: list[str],
        data: bytes | str,
        **kwargs: Any,
    ) -> str | None:
        print(len(data), kwargs["mail_options"])
        return "250 Taken" if rcpttos else None


class AsTypeshedHasIt(smtpd.SMTPChannel):
    def smtp_HELO(self, arg: str) -> None:
        super().smtp_HELO(arg)


class TakesBytes(smtpd.SMTPServer):
    def process_message(
        self,
        peer: tuple[str, int],
        mailfrom: str,
        rcpttos: list[str],
        data: bytes,
        **kwargs: Any,
    ) -> None:
        print(peer[0], data.decode())


class Relay(smtpd.PureProxy):
    upstream_timeout = 10.0


map: dict[int, Any] = {}
server: smtpd.SMTPServer = Server(("localhost", 0), None, map=map)
print(server.socket.getsockname()[1])
Relay(("localhost", 0), ("mail.example.org", 25), data_size_limit=None)
smtpd.DEBUGSTREAM = open("trace.txt", "w")
smtpd.install_as_smtpd()
smtpd.loop(timeout=1.0, map=map, count=1)
server.close()
"""

#: What is put in the place of what in PROGRAM; both checkers name each line.
MISTAKES = [
    ("idle_timeout = 300.0", "idle_timeout = 'long'"),
    ("smtp_EHLO(self, arg: str | None)", "smtp_EHLO(self)"),
    ("data(self, data: bytes)", "data(self, data: str)"),
    ("self.smtp_state ==", "self.smtp_stat =="),
    ("self.push(", "self.close_whendone("),
    ("socket.getsockname()", "socket.getsocknam()"),
    ("data_size_limit=None", "size=None"),
    ("smtpd.loop(", "smtpd.lop("),
    ("server.close()", "server.cloze()"),
]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a checker that finds this package as an installed one is found."""
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )


@lru_cache(maxsize=None)
def pyright_runs() -> bool:
    """Whether pyright is here; the package of that name only fetches it when run."""
    try:
        return run("pyright", "--version").returncode == 0
    except subprocess.TimeoutExpired:
        return False


def needs_pyright() -> None:
    if not pyright_runs():
        pytest.skip("pyright is not installed")


@pytest.fixture(scope="module")
def mypy_cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    pytest.importorskip("mypy", reason="mypy is not installed")
    return str(tmp_path_factory.mktemp("mypy"))


@pytest.fixture
def mypy(mypy_cache: str) -> Callable[..., str]:
    def errors(version: str, *sources: Path) -> str:
        done = run(
            *("mypy", "--strict", "--python-version", version, "--config-file", ""),
            *("--cache-dir", mypy_cache, *map(str, sources)),
        )
        return done.stdout if done.returncode else ""

    return errors


@pytest.fixture
def pyright() -> Callable[..., str]:
    needs_pyright()

    def errors(version: str, *sources: Path) -> str:
        settings = sources[0].with_name("pyrightconfig.json")
        rules = {"typeCheckingMode": "strict", "reportDeprecated": False}
        settings.write_text(json.dumps({"pythonVersion": version, **rules}))
        done = run("pyright", "--project", str(settings), *map(str, sources))
        return done.stdout if done.returncode else ""

    return errors


@pytest.fixture(params=["mypy", "pyright"])
def errors(request: Any, tmp_path: Path) -> Callable[..., str]:
    """What a checker says of programs, nothing if it is content."""
    checker = request.getfixturevalue(request.param)

    def check(version: str, **programs: str) -> str:
        for name, program in programs.items():
            (tmp_path / f"{name}.py").write_text(program)
        return str(checker(version, *tmp_path.glob("*.py")))

    return check


@pytest.mark.parametrize("version", VERSIONS)
def test_users_programs_pass(errors: Any, version: str) -> None:
    names = ["catcher", "commands", "lists", "printing", "relaying"]
    programs = {name: (PROGRAMS / f"{name}.py").read_text() for name in names}
    assert errors(version, program=PROGRAM, **programs) == ""


@pytest.mark.parametrize("version", VERSIONS)
def test_a_users_mistakes_are_found(errors: Any, version: str) -> None:
    program = PROGRAM
    lines = []
    for right, wrong in MISTAKES:
        assert right in program
        program = program.replace(right, wrong, 1)
        lines.append(program.partition(wrong)[0].count("\n") + 1)
    said = errors(version, program=program)
    assert set(lines) <= set(map(int, re.findall(r"\.py:(\d+):.* error:", said)))


def as_typeshed(**imports: str) -> str:
    """The program, with lines ``import KEY`` replaced."""
    program = (PROGRAMS / "as_typeshed.py").read_text()
    for name, line in imports.items():
        assert f"import {name}\n" in program
        program = program.replace(f"import {name}\n", f"{line}\n")
    return program


def test_what_passes_with_typesheds_smtpd_passes_with_this_package(errors: Any) -> None:
    ours = as_typeshed(smtpd="import smtpd_compat as smtpd")
    assert errors("3.11", before=as_typeshed(), after=ours) == ""


def test_it_passes_on_3_13_too_if_asyncore_is_imported_from_here(errors: Any) -> None:
    program = as_typeshed(
        smtpd="import smtpd_compat as smtpd",
        asyncore="from smtpd_compat import asyncore",
        asynchat="from smtpd_compat import asynchat",
    )
    assert errors("3.13", program=program) == ""


def test_this_package_passes_mypy_strict_without_types_of_asyncore(mypy: Any) -> None:
    assert mypy("3.13", PACKAGE) == ""


def test_pyright_knows_the_type_of_every_public_name() -> None:
    needs_pyright()
    arguments = ("--verifytypes", "smtpd_compat", "--outputjson")
    done = run("pyright", *arguments, "--pythonversion", "3.13")
    report = json.loads(done.stdout)["typeCompleteness"]
    unknown = [
        (symbol["name"], [note["message"] for note in symbol["diagnostics"]])
        for symbol in report["symbols"]
        if not symbol["isTypeKnown"]
    ]
    assert unknown == []
    assert report["completenessScore"] == 1
    assert len(report["symbols"]) > 100


@pytest.fixture
def typeshed(mypy_cache: str, tmp_path: Path) -> SimpleNamespace:
    """Stubtest, and a folder of stubs for it with typeshed's of asyncore and asynchat.

    There is no Python on which typeshed has those and asyncore is a package.
    """
    import mypy

    standard = Path(mypy.__file__).parent / "typeshed" / "stdlib"
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    for name in ("asyncore", "asynchat"):
        shutil.copy(standard / f"{name}.pyi", stubs)
    settings = tmp_path / "mypy.ini"
    settings.write_text(f"[mypy]\nmypy_path = {stubs}\n")

    def stubtest(*modules: str) -> str:
        done = run(
            *("mypy.stubtest", *modules, "--ignore-missing-stub", "--concise"),
            *("--mypy-config-file", str(settings)),
            MYPYPATH=str(stubs),
            PYTHONWARNINGS="ignore",
        )
        return done.stdout if done.returncode else ""

    return SimpleNamespace(smtpd=standard / "smtpd.pyi", stubs=stubs, test=stubtest)


def test_the_package_is_what_typesheds_stub_of_smtpd_says(typeshed: Any) -> None:
    stub = typeshed.stubs / "smtpd_compat.pyi"
    shutil.copy(typeshed.smtpd, stub)
    assert typeshed.test("smtpd_compat") == ""
    said = stub.read_text()
    stub.write_text(said.replace("rcpttos: list[str]", "recipients: list[str]"))
    assert "SMTPServer.process_message" in typeshed.test("smtpd_compat")


def test_asyncore_and_asynchat_are_what_our_stubs_say(typeshed: Any) -> None:
    copies = [typeshed.stubs / f"{name}.pyi" for name in ("asyncore", "asynchat")]
    for copy in copies:
        text = (PACKAGE / "_stubs" / copy.name).read_text()
        copy.write_text(text.replace("from . import asyncore", "import asyncore"))
    assert typeshed.test("asyncore", "asynchat") == ""
    for copy in copies:
        copy.write_text(copy.read_text().replace("def set_", "def sets_"))
    said = typeshed.test("asyncore", "asynchat")
    assert "sets_socket" in said
    assert "sets_terminator" in said
