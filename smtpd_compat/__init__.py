"""The ``smtpd`` module that Python 3.12 removed, for today's Python.

Change ``import smtpd`` to ``import smtpd_compat as smtpd``; on the command line,
type ``python -m smtpd_compat`` where you typed ``python -m smtpd``.

`SMTPServer` listens and hands every message to its ``process_message``, which you
override.  `SMTPChannel` holds the conversation with one client (RFC 5321, with SIZE
of RFC 1870, 8BITMIME of RFC 6152 and SMTPUTF8 of RFC 6531).  `DebuggingServer`
prints messages, `PureProxy` relays them, `MailmanProxy` relays them past Mailman.

Besides the classes there are:

``loop(timeout=30.0, use_poll=False, map=None, count=None)``
    Serves the dispatchers in the socket map *map* (`dict`; None for asyncore's own)
    until it is empty, or for *count* turns, each of which waits at most *timeout*
    seconds (None: for any time).  It takes the place of ``asyncore.loop`` and uses less
    CPU: idle connections cost nothing.  *use_poll* makes no difference.
``install_as_smtpd()``
    Lets ``import smtpd`` find this package, for code that cannot be edited.  Raises
    ImportError if another ``smtpd`` has been imported already.
``usage(code, msg='')``, ``parseargs()``, ``Options``
    Parts of the command line.

Programs assign to these names, which takes effect everywhere:

``DEBUGSTREAM``
    Where the conversations are traced: any object with ``write``.  The first one drops
    what it gets; ``-d`` puts standard error in its place.
``__version__``
    The text that the 220 banner and ``-V`` show (`str`).
``program``
    The command's own name, for its help (`str`).

``DATA_SIZE_DEFAULT``
    Octets that a message may have unless something else is set (`int`, 32 MiB).
``asyncore``, ``asynchat``
    The modules from whose classes `SMTPServer` and `SMTPChannel` derive, with types for
    type checkers; what ``import asyncore`` finds on Python 3.12 and later has none.
"""

# Programs assign to this namespace (``smtpd.DEBUGSTREAM = sys.stderr``,
# ``smtpd.socket = fake``) and expect the assignment to take effect everywhere.  So
# whatever they may assign is looked up here, as ``smtpd_compat.NAME``, at the moment
# of use.
#
# What takes long to load is loaded when it is first asked for.  Without this, ``-V``,
# or importing a test module in which one test needs a server, would load asyncore and
# what that imports, which is most of the time that an import takes.

from __future__ import annotations

import errno as errno
import os as os
import sys as sys
import time as time

if "_LOADED_WHEN_ASKED_FOR" not in globals():
    # Imported once more, after the first import was taken out of sys.modules, this is
    # a module of its own, and so are those that look names up in it.
    # A list, for other threads import meanwhile.
    for _stale in list(sys.modules):
        if _stale.startswith(__name__ + "."):
            sys.modules.pop(_stale, None)

from ._settings import DATA_SIZE_DEFAULT as DATA_SIZE_DEFAULT
from ._tracing import Devnull as Devnull

# bool() is False, but no literal: jedi, and with it IPython and many an editor, takes
# what stands below a literal False for dead code and completes no name of it.
TYPE_CHECKING = bool()
if TYPE_CHECKING:
    import collections as collections
    import getopt as getopt
    import socket as socket
    from typing import Any, TextIO
    from warnings import warn as warn

    # The classes name this module as theirs, for logs and pickles.  So
    # inspect.getsource looks for them here, where they are not: this is where they are.
    from ._asyncore import asynchat as asynchat
    from ._asyncore import asyncore as asyncore
    from ._channel import SMTPChannel as SMTPChannel
    from ._commandline import Options as Options
    from ._commandline import parseargs as parseargs
    from ._commandline import usage as usage
    from ._debugging import DebuggingServer as DebuggingServer
    from ._eras._old_name import install_as_smtpd as install_as_smtpd
    from ._loop import loop as loop
    from ._relays._mailman import MailmanProxy as MailmanProxy
    from ._relays._pure import PureProxy as PureProxy
    from ._server import SMTPServer as SMTPServer

    EMPTYSTRING: str
    get_addr_spec: Any
    get_angle_addr: Any

__all__ = [  # noqa: RUF022 - the order of the original
    "SMTPChannel",
    "SMTPServer",
    "DebuggingServer",
    "PureProxy",
    "MailmanProxy",
]

program: str = sys.argv[0] if sys.argv else ""

__version__: str = "Python SMTP proxy version 0.3"

DEBUGSTREAM: Devnull | TextIO | Any = Devnull()

NEWLINE: str = "\n"
COMMASPACE: str = ", "

_LOADED_WHEN_ASKED_FOR = {
    "SMTPChannel": "._channel",
    "SMTPServer": "._server",
    "DebuggingServer": "._debugging",
    "PureProxy": "._relays._pure",
    "MailmanProxy": "._relays._mailman",
    "install_as_smtpd": "._eras._old_name",
    "loop": "._loop",
    "Options": "._commandline",
    "parseargs": "._commandline",
    "usage": "._commandline",
    "asynchat": "._asyncore",
    "asyncore": "._asyncore",
    "get_addr_spec": "email._header_value_parser",
    "get_angle_addr": "email._header_value_parser",
    "warn": "warnings",
}
_MODULES_LOADED_WHEN_ASKED_FOR = ("collections", "getopt", "socket")


if not TYPE_CHECKING:  # or type checkers would take every name for one of ours

    def __getattr__(name: str) -> Any:
        """Load what is loaded when it is first asked for."""
        from importlib import import_module

        if name in _LOADED_WHEN_ASKED_FOR:
            value = getattr(import_module(_LOADED_WHEN_ASKED_FOR[name], __name__), name)
        elif name in _MODULES_LOADED_WHEN_ASKED_FOR:
            value = import_module(name)
        elif name == "EMPTYSTRING":
            from ._eras._warnings import warn_here

            warn_here("EMPTYSTRING is gone from smtpd since Python 3.5, write ''")
            return ""
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        # Unless another thread has assigned something meanwhile.
        return globals().setdefault(name, value)


def __dir__() -> list[str]:
    """All names, loaded or not."""
    later = {*_LOADED_WHEN_ASKED_FOR, *_MODULES_LOADED_WHEN_ASKED_FOR}
    return sorted(later.union(globals()))


del TYPE_CHECKING
