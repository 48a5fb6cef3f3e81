"""Code that cannot be edited finds the package under the old name."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import venv
from pathlib import Path

import pytest

import smtpd_compat
from tests.functional.processes import PATIENCE, reserved_port, serving_process
from tests.recipes.pages import README, ROOT, command, program

pytestmark = pytest.mark.skipif(
    not README.exists(), reason="README.md is not beside the tests"
)

HEADING = "Code that you cannot edit"

PYTHON = ".venv/bin/python" if os.name == "posix" else ".venv/Scripts/python"

FOREIGN_CODE = """\
import smtpd
from smtpd import SMTPServer

def main():
    print(smtpd.__name__, SMTPServer.__module__)
"""


def output_of(words: list[str], folder: Path) -> str:
    environment = dict(os.environ)
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        words,
        check=False,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an environment, in which README.md's command has been run.

    The environment finds the package where the tests find it.
    """
    folder = tmp_path_factory.mktemp("somewhere")
    venv.create(folder / ".venv", symlinks=os.name == "posix")
    find = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(output_of([str(folder / PYTHON), "-c", find], folder).strip())
    installed = [Path(smtpd_compat.__file__).parents[1]]
    if sys.version_info >= (3, 12):
        installed.append(Path(smtpd_compat.asyncore.__file__).parents[1])
    (packages / "installed.pth").write_text("\n".join(map(str, installed)) + "\n")
    (folder / "foreign.py").write_text(FOREIGN_CODE)
    words = shlex.split(command("README.md", "zz_smtpd.pth"))
    assert words[0] == ".venv/bin/python"
    output_of([str(folder / PYTHON), *words[1:]], folder)
    return folder


@pytest.fixture
def python(folder: Path) -> str:
    return str(folder / PYTHON)


def test_two_lines_above_the_import(tmp_path: Path) -> None:
    (tmp_path / "foreign.py").write_text(FOREIGN_CODE)
    mine = program(HEADING) + "import foreign\nforeign.main()\n"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", mine],
        check=True,
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        timeout=PATIENCE,
    )
    assert done.stdout == "smtpd_compat smtpd_compat\n"


def test_two_lines_at_the_top_of_conftest(tmp_path: Path) -> None:
    (tmp_path / "foreign.py").write_text(FOREIGN_CODE)
    (tmp_path / "conftest.py").write_text(program(HEADING) + "import foreign\n")
    (tmp_path / "test_foreign.py").write_text(
        "import foreign, smtpd\n\ndef test_it(capsys):\n    foreign.main()\n"
        "    assert capsys.readouterr().out == 'smtpd_compat smtpd_compat\\n'\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        check=False,
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        timeout=PATIENCE,
    )
    assert "1 passed" in done.stdout, done.stdout


def test_the_pth_file_gives_an_import_this_package(folder: Path, python: str) -> None:
    said = output_of([python, "-c", "import foreign; foreign.main()"], folder)
    assert said == "smtpd_compat smtpd_compat\n"


def test_with_the_pth_file_the_console_scripts_of_others_run(
    folder: Path, python: str
) -> None:
    script = folder / "foreign-script"
    script.write_text("import sys\nfrom foreign import main\nsys.exit(main())\n")
    assert output_of([python, str(script)], folder) == "smtpd_compat smtpd_compat\n"


def test_with_the_pth_file_python_m_smtpd_is_this_package(
    folder: Path, python: str
) -> None:
    said = output_of([python, "-W", "error", "-m", "smtpd", "-V"], folder)
    assert said == smtpd_compat.__version__ + "\n"
    said = output_of([python, "-m", "smtpd", "-h"], folder)
    program = said.split("Usage: ")[1].split()[0]
    assert os.path.samefile(program, Path(smtpd_compat.__file__).parent / "__main__.py")
    with reserved_port("127.0.0.1") as port:
        words = [python, "-W", "error", "-m", "smtpd", "-n", "-c", "DebuggingServer"]
        words.append(f"127.0.0.1:{port}")
        with serving_process(words, "127.0.0.1", port, cwd=folder) as server:
            assert server.stop() == (0, "", "")


def test_with_the_pth_file_the_package_is_there_once(folder: Path, python: str) -> None:
    """Run under the old name, its modules have the names that they always have."""
    code = (
        "import runpy, sys\n"
        "sys.argv = ['smtpd', '-n', '-c', 'foreign.nothing', '127.0.0.1:0']\n"
        "try:\n"
        "    runpy.run_module('smtpd', run_name='__main__', alter_sys=True)\n"
        "except SystemExit:\n"
        "    pass\n"
        "print([n for n in sys.modules if n.startswith('smtpd.')])\n"
    )
    assert output_of([python, "-c", code], folder).splitlines()[-1] == "[]"
