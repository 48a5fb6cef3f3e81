"""What editors, ``help()``, ``inspect`` and ``pickle`` find out about the package."""

from __future__ import annotations

import inspect
import os
import pickle
import pydoc
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import smtpd_compat

PACKAGE = Path(smtpd_compat.__file__).parent

#: All public classes; ``__all__`` has those that a star imports.
CLASSES = [*smtpd_compat.__all__, "Devnull", "Options"]
FUNCTIONS = ["loop", "install_as_smtpd", "usage", "parseargs"]


# jedi, which completes names in IPython and in many editors


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """What jedi makes of a program that imports this package, at the program's end."""
    jedi = pytest.importorskip("jedi", reason="jedi is not installed")
    monkeypatch.setattr(jedi.settings, "cache_directory", str(tmp_path / "cache"))
    paths = [str(PACKAGE.parent), *sys.path]
    project = jedi.Project(tmp_path, sys_path=paths)
    here = jedi.InterpreterEnvironment()  # and no process of its own

    def read(program: str) -> Any:
        program = "import smtpd_compat as smtpd\n" + program
        return jedi.Script(program, project=project, environment=here)

    return read


def completed(script: Any) -> dict[str, str]:
    return {found.name: found.type for found in script.complete()}


def test_jedi_completes_the_classes_and_the_functions(script: Any) -> None:
    found = completed(script("smtpd."))
    assert [name for name in CLASSES if found.get(name) != "class"] == []
    assert [name for name in FUNCTIONS if found.get(name) != "function"] == []


@pytest.mark.parametrize("name", ["SMTPServer", "SMTPChannel", "loop"])
def test_jedi_shows_the_signature_of_what_is_called(script: Any, name: str) -> None:
    (shown,) = script(f"smtpd.{name}(").get_signatures()
    real = inspect.signature(getattr(smtpd_compat, name))
    assert [parameter.name for parameter in shown.params] == list(real.parameters)


@pytest.mark.parametrize(
    "expression, names",
    [
        ("smtpd.SMTPServer()", {"process_message", "handle_accept", "idle_timeout"}),
        ("smtpd.DebuggingServer()", {"process_message", "close", "worker_threads"}),
        ("smtpd.PureProxy()", {"upstream_timeout", "process_message"}),
        ("smtpd.SMTPChannel()", {"smtp_MAIL", "push", "close_when_done", "mailfrom"}),
        ("smtpd.asyncore", {"loop", "dispatcher", "socket_map"}),
    ],
)
def test_jedi_completes_what_things_have_and_inherit(
    script: Any, expression: str, names: set[str]
) -> None:
    assert names <= set(completed(script(expression + ".")))


@pytest.mark.parametrize("name", CLASSES)
def test_jedi_goes_to_the_class_itself(script: Any, name: str) -> None:
    (found,) = script("smtpd." + name).goto(follow_imports=True)
    line = found.module_path.read_text().splitlines()[found.line - 1]
    assert line.startswith(f"class {name}")


def test_no_module_hides_names_from_jedi() -> None:
    """What stands below a literal False is dead code for it."""
    sources = "\n".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    flags = set(re.findall("^TYPE_CHECKING.*", sources, re.M))
    assert flags == {"TYPE_CHECKING = bool()"}


# help(), pydoc


def test_help_shows_the_functions_that_no_star_imports() -> None:
    page = pydoc.render_doc(smtpd_compat, renderer=pydoc.plaintext)
    for name in FUNCTIONS:
        signature = inspect.signature(getattr(smtpd_compat, name))
        parameters = [
            parameter.replace(annotation=inspect.Parameter.empty)
            for parameter in signature.parameters.values()
        ]
        assert f"``{name}{inspect.Signature(parameters)}``" in page
    for name in smtpd_compat.__all__:
        assert f"class {name}(" in page


@pytest.mark.parametrize("name", [*CLASSES, *FUNCTIONS])
def test_help_of_a_name_shows_what_stands_there(name: str) -> None:
    thing = getattr(smtpd_compat, name)
    page = pydoc.render_doc(thing, renderer=pydoc.plaintext)
    assert name in page
    assert inspect.getdoc(thing).splitlines()[0] in page


@pytest.mark.parametrize("name", ["", ".SMTPChannel", ".loop", ".install_as_smtpd"])
def test_the_pydoc_command_finds_it(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pydoc", "smtpd_compat" + name],
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent), "PYTHONUTF8": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        timeout=60,
    )
    assert done.stderr == ""
    first = done.stdout.splitlines()[0]
    assert "smtpd_compat" in first
    assert name.lstrip(".") in first
    assert len(done.stdout.splitlines()) > 5


# pickle, inspect


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_pickles_as_the_name_that_programs_import(name: str) -> None:
    cls = getattr(smtpd_compat, name)
    pickled = pickle.dumps(cls, 0)
    assert re.findall(rb"smtpd_compat[\w.]*", pickled) == [b"smtpd_compat"]
    assert pickle.loads(pickled) is cls


@pytest.mark.parametrize("name", CLASSES)
def test_no_wrong_lines_pass_for_a_class_but_the_file_says_where_it_is(
    name: str,
) -> None:
    """A class says that it is of smtpd_compat, so inspect looks in that file for it."""
    cls = getattr(smtpd_compat, name)
    with pytest.raises(OSError):
        inspect.getsource(cls)
    source = inspect.getsourcefile(cls)
    assert source is not None
    (module,) = re.findall(
        rf"^ *from \.(\S+) import {name} as {name}$", Path(source).read_text(), re.M
    )
    file = PACKAGE.joinpath(*module.split(".")).with_suffix(".py")
    assert re.search(rf"^class {name}\b", file.read_text(), re.M)


def test_methods_and_classes_of_programs_have_their_source() -> None:
    class Server(smtpd_compat.SMTPServer):
        """A subclass."""

    assert '"""A subclass."""' in inspect.getsource(Server)
    method = smtpd_compat.SMTPServer.process_message
    assert "raise NotImplementedError" in inspect.getsource(method)
    assert "def loop(" in inspect.getsource(smtpd_compat.loop)
