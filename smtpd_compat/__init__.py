"""The ``smtpd`` module that Python 3.12 removed, for today's Python.

Change ``import smtpd`` to ``import smtpd_compat as smtpd``; on the command line,
type ``python -m smtpd_compat`` where you typed ``python -m smtpd``.  Programs that
cannot be edited find the package under the old name after
:func:`install_as_smtpd`.

`SMTPServer` listens and hands every message to its ``process_message``, which you
override.  `SMTPChannel` holds the conversation with one client (RFC 5321, with SIZE
of RFC 1870, 8BITMIME of RFC 6152 and SMTPUTF8 of RFC 6531).  `DebuggingServer`
prints messages, `PureProxy` relays them, `MailmanProxy` relays them past Mailman.
All of them run in asyncore's loop, or in ``loop(timeout=30.0, use_poll=False,
map=None, count=None)``, which does the same work for less.
"""

# Programs assign to this namespace (``smtpd.DEBUGSTREAM = sys.stderr``,
# ``smtpd.socket = fake``) and expect the assignment to take effect everywhere.  So
# every name that they may assign is bound here, before the submodules are imported,
# and the submodules read ``smtpd_compat.NAME`` at the moment of use.

from __future__ import annotations

import collections as collections
import errno as errno
import os as os
import socket as socket
import sys as sys
import time as time
import warnings
from warnings import warn as warn

with warnings.catch_warnings():
    # The standard library's copies warn from 3.10 on; users of this package have
    # already acted on that warning.
    warnings.simplefilter("ignore", DeprecationWarning)
    import asynchat as asynchat
    import asyncore as asyncore

from ._tracing import Devnull as Devnull

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TextIO

__all__ = [  # noqa: RUF022 - the order of the original
    "SMTPChannel",
    "SMTPServer",
    "DebuggingServer",
    "PureProxy",
    "MailmanProxy",
]

#: What stands behind a command's own name, see `usage`.
program: str = sys.argv[0] if sys.argv else ""

#: The text that the 220 banner and ``-V`` show; programs assign their own.
__version__: str = "Python SMTP proxy version 0.3"

#: Where the conversation is traced; any object with ``write``.
DEBUGSTREAM: Devnull | TextIO | Any = Devnull()

NEWLINE: str = "\n"
COMMASPACE: str = ", "

#: Octets that a message may have where nothing else is said (32 MiB).
DATA_SIZE_DEFAULT: int = 33554432

from ._channel import SMTPChannel
from ._commandline import Options as Options
from ._commandline import parseargs as parseargs
from ._commandline import usage as usage
from ._debugging import DebuggingServer
from ._legacy import install_as_smtpd as install_as_smtpd
from ._loop import loop as loop
from ._mailman import MailmanProxy
from ._relay import PureProxy
from ._server import SMTPServer

for _public in (
    SMTPChannel,
    SMTPServer,
    DebuggingServer,
    PureProxy,
    MailmanProxy,
    Devnull,
    Options,
    parseargs,
    usage,
):
    _public.__module__ = __name__
del _public, TYPE_CHECKING


def __getattr__(name: str) -> Any:
    """Names that the module had and that no server needs, loaded when asked for."""
    if name == "EMPTYSTRING":
        from ._deprecations import warn_here

        warn_here("EMPTYSTRING is gone from smtpd since Python 3.5, write ''")
        return ""
    if name == "getopt":
        import getopt

        return getopt
    if name in ("get_addr_spec", "get_angle_addr"):
        from email import _header_value_parser

        return getattr(_header_value_parser, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
