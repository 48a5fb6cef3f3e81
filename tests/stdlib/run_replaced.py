"""Run one of the interpreter's test modules with smtpd_compat in smtpd's place.

``python -m tests.stdlib.run_replaced test.test_smtplib`` loads the test module from
where the interpreter keeps it.  The name of a test class may follow, and instead of the
module the path of a file, to run another interpreter's.  The report of unittest goes to
standard error; the last line of standard output is what the caller asserts on, as JSON.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
import unittest
from types import ModuleType

import test.support

import smtpd_compat


def replace_modules() -> None:
    """Have every import of smtpd, asyncore and asynchat find ours.

    From 3.12 on the suites use private copies, ``test.smtpd`` (3.12) or
    ``test.support.smtpd``, and those bring copies of asyncore and asynchat.
    """
    smtpd_compat.install_as_smtpd()
    for name, module in (
        ("smtpd", smtpd_compat),
        ("asyncore", smtpd_compat.asyncore),
        ("asynchat", smtpd_compat.asynchat),
    ):
        for package in (test, test.support):
            sys.modules[f"{package.__name__}.{name}"] = module
            setattr(package, name, module)


def load(name: str) -> ModuleType:
    """Import the module called *name*, or run the file at the path *name*."""
    if not name.endswith(".py"):
        return importlib.import_module(name)
    spec = importlib.util.spec_from_file_location("test.borrowed", name)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def main(name: str, test_class: str | None = None) -> None:
    replace_modules()
    module = load(name)
    if test_class is None:
        suite = unittest.defaultTestLoader.loadTestsFromModule(module)
    else:
        suite = unittest.defaultTestLoader.loadTestsFromName(test_class, module)
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    report = {
        "file": module.__file__,
        "uses": [module.smtpd.__name__, module.asyncore.__name__],
        "one_asyncore": module.asyncore is smtpd_compat.asyncore,
        "ran": result.testsRun,
        "failed": [case.id() for case, _ in result.failures + result.errors],
        "succeeded_unexpectedly": [case.id() for case in result.unexpectedSuccesses],
        "skipped": {case.id(): reason for case, reason in result.skipped},
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main(*sys.argv[1:])
