"""A typical program; its argument is ``smtpd`` or ``smtpd_compat``."""

from __future__ import annotations

import importlib
import sys
import warnings


def serve(name: str) -> None:
    """Serve with the module called *name*, which every module then sees as smtpd."""
    warnings.simplefilter("ignore", DeprecationWarning)
    smtpd = sys.modules["smtpd"] = importlib.import_module(name)
    from tests.benchmarks.programs.counting import CountingServer

    server = CountingServer(("127.0.0.1", 0), None)
    print(server.socket.getsockname()[1], flush=True)
    smtpd.asyncore.loop(use_poll=True)


serve(sys.argv[1])
