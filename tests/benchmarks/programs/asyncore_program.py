"""A typical program; its argument is ``smtpd`` or ``smtpd_compat``.

A second one is the number of threads that handle messages.
"""

from __future__ import annotations

import importlib
import sys
import warnings


def serve(name: str, threads: str = "0") -> None:
    """Serve with the module called *name*, which every module then sees as smtpd."""
    warnings.simplefilter("ignore", DeprecationWarning)
    smtpd = sys.modules["smtpd"] = importlib.import_module(name)
    from tests.benchmarks.programs.counting import CountingServer

    CountingServer.worker_threads = int(threads)
    server = CountingServer(("127.0.0.1", 0), None)
    print(server.socket.getsockname()[1], flush=True)
    smtpd.asyncore.loop(use_poll=True)


serve(*sys.argv[1:])
