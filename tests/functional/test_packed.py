"""Programs that hold the package run: zipped, and frozen with what they import."""

from __future__ import annotations

import smtplib
import sys
import zipfile
from modulefinder import ModuleFinder
from pathlib import Path

from tests.functional.processes import PATIENCE, ROOT, server_process

PACKAGE = ROOT / "smtpd_compat"


def test_a_zipped_program_serves(tmp_path: Path) -> None:
    archive = tmp_path / "program.pyz"
    with zipfile.ZipFile(archive, "w") as program:
        for file in PACKAGE.rglob("*.py"):
            program.write(file, str(file.relative_to(ROOT)))
        program.writestr(
            "__main__.py",
            "import sys, smtpd_compat\n"
            "assert smtpd_compat.__file__.startswith(sys.path[0])\n"
            "from smtpd_compat.__main__ import command\n"
            "command()\n",
        )
    with server_process(
        "-n",
        "-c",
        "DebuggingServer",
        command=[sys.executable, "-W", "error", str(archive)],
        cwd=tmp_path,
    ) as server:
        with smtplib.SMTP(server.host, server.port, timeout=PATIENCE) as client:
            client.sendmail("a@b", ["c@d"], "Subject: packed\n\n")
        server.seen_after("b'Subject: packed'\n")
        assert server.stop()[::2] == (0, "")


def test_import_statements_name_every_module_though_some_are_loaded_late() -> None:
    """What PyInstaller and others pack is what they find named in import statements."""
    finder = ModuleFinder([str(ROOT)], excludes=["smtpd_compat._stubs"])
    finder.import_hook("smtpd_compat.__main__")
    modules = {
        ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for file in PACKAGE.rglob("*.py")
    }
    packages = {name[: -len(".__init__")] for name in modules if "__init__" in name}
    named = {name for name in modules if "__init__" not in name} | packages
    assert "smtpd_compat._relays._mailman" in named
    assert named - set(finder.modules) == set()
