"""The command ``smtpd_compat`` is ``python -m smtpd_compat``."""

from __future__ import annotations

import configparser
import sys
from pathlib import Path

import pytest

from tests.functional.processes import COMMAND, ROOT, Ended, end, server_process, start


@pytest.fixture
def script(tmp_path: Path) -> list[str]:
    """The command, as an installer writes the script."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    name, _, target = setup["options.entry_points"]["console_scripts"].partition("=")
    module, _, function = target.strip().partition(":")
    (tmp_path / "bin").mkdir()
    file = tmp_path / "bin" / name.strip()
    file.write_text(
        f"import sys\nfrom {module} import {function}\nsys.exit({function}())\n"
    )
    return [sys.executable, "-W", "error", str(file)]


@pytest.mark.parametrize(
    "arguments", [["-V"], ["-h"], ["-x"], ["-s", "ten"], ["-n", "-c", "Nothing", ":0"]]
)
def test_the_command_says_what_the_module_says(
    script: list[str], arguments: list[str], tmp_path: Path
) -> None:
    def run(command: list[str], program: str) -> Ended:
        ended = end(start([*command, *arguments], cwd=tmp_path))
        assert f"Usage: {program} " in ended.stderr or "Usage" not in ended.stderr
        return ended._replace(stderr=ended.stderr.replace(program, "PROGRAM"))

    module = str(ROOT / "smtpd_compat" / "__main__.py")
    assert run(script, script[-1]) == run(COMMAND, module)


def test_the_command_finds_a_class_in_the_folder_where_it_is_started(
    script: list[str], tmp_path: Path
) -> None:
    (tmp_path / "mine_here.py").write_text(
        "import smtpd\nclass Mine(smtpd.DebuggingServer): pass\n"
    )
    with server_process(
        "-n", "-c", "mine_here.Mine", command=script, cwd=tmp_path
    ) as server:
        assert server.stop() == (0, "", "")


def test_the_folder_where_it_is_started_comes_before_the_library(
    script: list[str], tmp_path: Path
) -> None:
    """As with -m; this.py is a name in the library, too."""
    (tmp_path / "this.py").write_text(
        "import smtpd\nclass Mine(smtpd.DebuggingServer): pass\n"
    )
    with server_process(
        "-n", "-c", "this.Mine", command=script, cwd=tmp_path
    ) as server:
        assert server.stop() == (0, "", "")


@pytest.mark.skipif(sys.version_info < (3, 11), reason="without safe_path")
def test_a_safe_path_stays_one(
    script: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    (tmp_path / "mine_here.py").write_text("raise SystemExit('was imported')\n")
    arguments = ["-n", "-c", "mine_here.Mine", "127.0.0.1:0"]
    ended = end(start([*script, *arguments], cwd=tmp_path))
    assert ended.status == 1
    assert ended.stderr.startswith("Cannot import the class mine_here.Mine: No module")
