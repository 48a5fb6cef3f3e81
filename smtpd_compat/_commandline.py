"""The command line: ``python -m smtpd_compat``.

``-h``, ``-V`` and bad usage need no server, so what a server needs is imported only
where it is used.
"""

from __future__ import annotations

import smtpd_compat

from ._tracing import public, raised_in

TYPE_CHECKING = bool()
if TYPE_CHECKING:
    from typing import Any, NoReturn

_USAGE = """\
Receives mail by SMTP, and passes each message to a class of your choice.

Usage: %(program)s [options] [localhost:localport [remotehost:remoteport]]

  localhost:localport    where to listen, by default localhost:8025; all IPv4
                         interfaces: 0.0.0.0:8025; IPv6: [::1]:8025
  remotehost:remoteport  where PureProxy and MailmanProxy send mail on to, by
                         default localhost:25

Options:

  -c NAME, --class NAME  what to do with a message, by default PureProxy:
                           DebuggingServer        print it
                           PureProxy              relay it to remotehost
                           MailmanProxy           give it to Mailman if a list
                                                  gets it, else relay it
                           package.module.Class   a class that you wrote
  -n, --nosetuid         stay the user who started this; without -n, only root
                         can start it, and it runs as the user nobody
  -s BYTES, --size BYTES the largest message that is taken, by default 33554432
                         (32 MiB); 0 takes any size
  -u, --smtputf8         offer SMTPUTF8 (RFC 6531), which PureProxy and
                         MailmanProxy cannot
  -d, --debug            write what clients send to standard error
  -V, --version          print the version of the banner, and exit
  -h, --help             print this help, and exit

Nothing is printed until a message arrives. Ctrl-C or SIGTERM ends the program.

Version: %(__version__)s
"""

_SHORT_OPTIONS = "nVhc:s:du"
_LONG_OPTIONS = [
    "class=",
    "nosetuid",
    "version",
    "help",
    "size=",
    "debug",
    "smtputf8",
]

#: Limits for a server whose class sets none, since people leave such servers running.
_LIMITS = {"idle_timeout": 300.0, "connection_limit": 8192, "recipient_limit": 1000}


@public
class Options:
    """What the command line asks for; the defaults are the class's attributes.

    ``setuid``
        Whether to become the user nobody (`bool`).
    ``classname``
        The class of the server (`str`), see ``-c``.
    ``size_limit``
        Octets that a message may have (`int`), None without ``-s``.
    ``enable_SMTPUTF8``
        Whether to offer SMTPUTF8 (`bool`).
    ``localhost``, ``localport``
        Where to listen (`str`, `int`).
    ``remotehost``, ``remoteport``
        The upstream server (`str`, `int`).
    """

    setuid: bool = True
    classname: str = "PureProxy"
    size_limit: int | None = None
    enable_SMTPUTF8: bool = False

    localhost: str
    localport: int
    remotehost: str
    remoteport: int


@public
def usage(code: int, msg: object = "") -> NoReturn:
    """Print the help, and *msg* below it, on standard error.

    :raises SystemExit: with status *code*.
    """
    _say(_USAGE % vars(smtpd_compat))
    if msg:
        _say(msg)
    smtpd_compat.sys.exit(code)


@public
def parseargs() -> Options:
    """Read ``sys.argv``.

    :raises SystemExit: for help, for the version, and with status 1 for bad usage.
    """
    getopt: Any = smtpd_compat.getopt
    try:
        given, arguments = getopt.getopt(
            smtpd_compat.sys.argv[1:], _SHORT_OPTIONS, _LONG_OPTIONS
        )
    except getopt.error as error:
        usage(1, error)
    options = Options()
    for option, value in given:
        if option in ("-h", "--help"):
            usage(0)
        elif option in ("-V", "--version"):
            print(smtpd_compat.__version__)
            smtpd_compat.sys.exit(0)
        elif option in ("-n", "--nosetuid"):
            options.setuid = False
        elif option in ("-c", "--class"):
            options.classname = value
        elif option in ("-d", "--debug"):
            smtpd_compat.DEBUGSTREAM = smtpd_compat.sys.stderr
        elif option in ("-u", "--smtputf8"):
            options.enable_SMTPUTF8 = True
        elif option in ("-s", "--size"):
            try:
                options.size_limit = int(value)
            except ValueError:
                _fail("Invalid size: " + value)
    if len(arguments) > 2:
        usage(1, f"Invalid arguments: {smtpd_compat.COMMASPACE.join(arguments)}")
    local, remote = arguments + ["localhost:8025", "localhost:25"][len(arguments) :]
    options.localhost, options.localport = _host_and_port("local", local)
    options.remotehost, options.remoteport = _host_and_port("remote", remote)
    return options


def _host_and_port(which: str, spec: str) -> tuple[str, int]:
    """The two parts of ``host:port``; an IPv6 address stands in brackets."""
    if spec.startswith("[") and "]:" in spec:
        host, _, port = spec[1:].partition("]:")
    else:
        host, colon, port = spec.partition(":")
        if not colon:
            usage(1, f"Bad {which} spec: {spec}")
    try:
        return host, int(port)
    except ValueError:
        usage(1, f"Bad {which} port: {spec}")


def main() -> None:
    """Serve until Ctrl-C or SIGTERM.

    :raises SystemExit: with status 1, after one line on standard error, if the
        server cannot be started.
    """
    try:
        _serve(parseargs())
    finally:
        _give_up_broken_output()


def _serve(options: Options) -> None:
    try:
        from . import _asyncore  # noqa: F401
    except ImportError as error:
        _fail(str(error))
    # So that mail shows when it arrives, also if standard output is a pipe or a file.
    if hasattr(smtpd_compat.sys.stdout, "reconfigure"):
        smtpd_compat.sys.stdout.reconfigure(line_buffering=True)
    try:
        from ._stopping import serve

        server = _start(_load(options.classname), options)
        if options.setuid:
            _become_nobody()
        for limit, value in _LIMITS.items():
            if getattr(server, limit, value) is None:
                setattr(server, limit, value)
        serve(server)
    except KeyboardInterrupt:
        pass
    finally:
        smtpd_compat.asyncore.close_all(ignore_all=True)


def _fail(message: str) -> NoReturn:
    _say(message)
    smtpd_compat.sys.exit(1)


def _say(text: object) -> None:
    """Print *text* on standard error, if that can be written."""
    try:
        print(text, file=smtpd_compat.sys.stderr)
    except (OSError, ValueError):
        pass


def _give_up_broken_output() -> None:
    """Keep the interpreter from failing, at its end, for output that cannot leave."""
    for name in ("stdout", "stderr"):
        stream = getattr(smtpd_compat.sys, name)
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            setattr(smtpd_compat.sys, name, None)


def _load(name: str) -> Any:
    """The class called *name*: a bundled one, or ``package.module.Class``."""
    module_name, _, class_name = name.rpartition(".")
    is_bundled = module_name in ("", "__main__")
    if is_bundled:
        module: Any = smtpd_compat
    else:
        smtpd_compat.install_as_smtpd()
        try:
            module = __import__(module_name, fromlist=[""])
        except (ImportError, SyntaxError) as error:
            _fail(f"Cannot import the class {name}: {error}")
    try:
        cls = getattr(module, class_name)
    except AttributeError as error:
        _fail(f"No class {name}: {error}")
    if is_bundled and not _is_server_class(cls):
        _fail(f"No class {name}: {cls!r} is no subclass of SMTPServer")
    if not callable(cls):
        _fail(f"No class {name}: {cls!r} cannot be called")
    return cls


def _is_server_class(thing: Any) -> bool:
    return isinstance(thing, type) and issubclass(thing, smtpd_compat.SMTPServer)


def _start(cls: Any, options: Options) -> Any:
    """Make the server, with as many arguments as its class takes."""
    from ._eras._calls import construct

    size_limit = options.size_limit
    if size_limit is None:
        size_limit = smtpd_compat.DATA_SIZE_DEFAULT
    try:
        server, left_out = construct(
            cls,
            (
                ("localaddr", (options.localhost, options.localport)),
                ("remoteaddr", (options.remotehost, options.remoteport)),
                ("data_size_limit", size_limit),
            ),
            {"enable_SMTPUTF8": options.enable_SMTPUTF8},
        )
    except (OSError, OverflowError, UnicodeError) as error:
        if not _is_ours(error):
            raise  # and show the class's author where
        address = f"{options.localhost}:{options.localport}"
        _fail(f"Cannot start {options.classname} on {address}: {error}")
    except (TypeError, ValueError) as error:
        where = raised_in(error).f_globals.get("__name__")
        # A TypeError of the call itself: the class has an argument of its own.
        if where != construct.__module__ and not (
            isinstance(error, ValueError) and _is_ours(error)
        ):
            raise
        _fail(f"Cannot start {options.classname}: {error}")
    asyncore = smtpd_compat.asyncore
    is_server = isinstance(server, asyncore.dispatcher)
    if not (is_server or asyncore.socket_map):
        _fail(f"{options.classname} is no server: calling it gave {server!r}")
    if options.enable_SMTPUTF8 and "enable_SMTPUTF8" in left_out:
        _fail(f"{options.classname} does not support SMTPUTF8.")
    if is_server and "data_size_limit" in left_out:
        server.data_size_limit = size_limit
    return server


def _is_ours(error: Exception) -> bool:
    """Whether we, or what we called, refuse what the command line asks for.

    If not, a class of somebody's own has a mistake.
    """
    module = str(raised_in(error).f_globals.get("__name__")).partition(".")[0]
    return module in (smtpd_compat.__name__, "asyncore", "encodings", "socket")


def _become_nobody() -> None:
    """Give up root for good: supplementary groups, then group, then user."""
    try:
        import pwd
    except ImportError:
        _fail('Cannot import module "pwd"; try running with -n option.')
    from . import _preload  # noqa: F401

    os = smtpd_compat.os
    try:
        nobody = pwd.getpwnam("nobody")
        os.setgroups([])
        os.setgid(nobody.pw_gid)
        os.setuid(nobody.pw_uid)
    except (KeyError, OSError):
        _fail('Cannot setuid "nobody"; try running with -n option.')
