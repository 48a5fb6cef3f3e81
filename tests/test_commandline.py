"""The command line's options and usage; tests/functional runs the command itself."""

from __future__ import annotations

import errno
import io
import subprocess
import sys
from types import SimpleNamespace

import pytest

import smtpd_compat
from smtpd_compat import _commandline, _stopping, asyncore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def parsed(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Any:
    monkeypatch.setattr(sys, "argv", ["program", *arguments])
    return smtpd_compat.parseargs()


# Options


def test_without_arguments_everything_has_its_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = parsed(monkeypatch)
    assert (options.localhost, options.localport) == ("localhost", 8025)
    assert (options.remotehost, options.remoteport) == ("localhost", 25)
    assert (options.setuid, options.classname) == (True, "PureProxy")
    assert (options.size_limit, options.enable_SMTPUTF8) == (None, False)


@pytest.mark.parametrize(
    "arguments, name, value",
    [
        (["-n"], "setuid", False),
        (["--nosetuid"], "setuid", False),
        (["-c", "Mine"], "classname", "Mine"),
        (["--class=my.module.Mine"], "classname", "my.module.Mine"),
        (["-s", "10"], "size_limit", 10),
        (["--size=0"], "size_limit", 0),
        (["-u"], "enable_SMTPUTF8", True),
        (["--smtputf8"], "enable_SMTPUTF8", True),
    ],
)
def test_each_option_is_noted(
    arguments: list[str], name: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert getattr(parsed(monkeypatch, *arguments), name) == value


@pytest.mark.parametrize("option", ["-d", "--debug"])
def test_debug_has_standard_error_traced_on(
    option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtpd_compat, "DEBUGSTREAM", None)
    parsed(monkeypatch, option)
    assert smtpd_compat.DEBUGSTREAM is sys.stderr


@pytest.mark.parametrize(
    "arguments, local, remote",
    [
        (["here:1"], ("here", 1), ("localhost", 25)),
        (["here:1", "there:2"], ("here", 1), ("there", 2)),
        (["[::1]:1", "[2001:db8::1]:2"], ("::1", 1), ("2001:db8::1", 2)),
        ([":1"], ("", 1), ("localhost", 25)),
        (["odd]:1"], ("odd]", 1), ("localhost", 25)),
    ],
)
def test_hosts_and_ports_are_taken_apart(
    arguments: list[str],
    local: tuple[str, int],
    remote: tuple[str, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = parsed(monkeypatch, *arguments)
    assert (options.localhost, options.localport) == local
    assert (options.remotehost, options.remoteport) == remote


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["-x"], "option -x not recognized"),
        (["here"], "Bad local spec: here"),
        (["here:x"], "Bad local port: here:x"),
        (["here:1:2"], "Bad local port: here:1:2"),
        (["::1:25"], "Bad local port: ::1:25"),
        (["here:1", "there"], "Bad remote spec: there"),
        (["here:1", "there:"], "Bad remote port: there:"),
        (["[::1]"], "Bad local port: [::1]"),
        (["[here"], "Bad local spec: [here"),
        (["a:1", "b:2", "c:3"], "Invalid arguments: a:1, b:2, c:3"),
        (["-s", "ten"], "Invalid size: ten"),
    ],
)
def test_bad_usage_is_told_on_standard_error(
    arguments: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as exit:
        parsed(monkeypatch, *arguments)
    assert exit.value.code == 1
    captured = capsys.readouterr()
    assert captured.err.endswith(said + "\n")
    assert captured.out == ""


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_is_the_usage_and_no_failure(
    option: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit:
        parsed(monkeypatch, option)
    assert exit.value.code == 0
    said = capsys.readouterr().err
    assert "\nUsage: " in said
    assert said.rstrip().endswith(f"Version: {smtpd_compat.__version__}")


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_version_shows_with_its_option(
    option: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(smtpd_compat, "__version__", "my version")
    with pytest.raises(SystemExit) as exit:
        parsed(monkeypatch, option)
    assert exit.value.code == 0
    assert capsys.readouterr().out == "my version\n"


# The usage


def test_version_and_program_show_in_the_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(smtpd_compat, "__version__", "my version")
    monkeypatch.setattr(smtpd_compat, "program", "my-program")
    with pytest.raises(SystemExit) as exit:
        smtpd_compat.usage(3, "what went wrong")
    assert exit.value.code == 3
    err = capsys.readouterr().err
    assert "Usage: my-program [options]" in err
    assert "Version: my version\n" in err
    assert err.endswith("what went wrong\n")


# The server


def test_the_loop_of_the_command_line_sees_an_assigned_DEBUGSTREAM() -> None:
    """A class from another module gets what ``-d`` assigns, and may assign its own."""
    program = (
        "import sys, smtpd_compat as smtpd\n"
        "class Stop(smtpd.DebuggingServer):\n"
        "    def __init__(self, *args, **kwargs):\n"
        "        super().__init__(*args, **kwargs)\n"
        "        raise KeyboardInterrupt\n"
        "sys.modules['stopping'] = sys.modules['__main__']\n"
        "sys.argv = ['x', '-n', '-d', '-c', 'stopping.Stop', '127.0.0.1:0']\n"
        "from smtpd_compat._commandline import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        stderr=subprocess.PIPE,
        timeout=60,
    )
    assert done.stderr.startswith(b"Stop started at ")
    assert done.returncode == 0


class Served(Exception):
    """The command has come so far that it would serve."""


def started(monkeypatch: pytest.MonkeyPatch, cls: Any, *arguments: str) -> Any:
    """The server that the command makes of *cls*, and would serve."""

    def serve(server: Any) -> None:
        raise Served(server)

    monkeypatch.setattr(_commandline, "_load", lambda name: cls)
    monkeypatch.setattr(_stopping, "serve", serve)
    monkeypatch.setattr(sys, "argv", ["program", "-n", *arguments, "127.0.0.1:0"])
    with pytest.raises(Served) as caught:
        _commandline.main()
    return caught.value.args[0]


class TwoArguments(smtpd_compat.SMTPServer):
    def __init__(self, localaddr: Any, remoteaddr: Any) -> None:
        super().__init__(localaddr, remoteaddr)


class Plain(asyncore.dispatcher):
    """A server without anything of ours."""

    def __init__(self, localaddr: Any, remoteaddr: Any) -> None:
        super().__init__()
        self.create_socket()
        self.bind(localaddr)
        self.listen(1)


@pytest.mark.parametrize("cls", [TwoArguments, smtpd_compat.SMTPServer, Plain])
@pytest.mark.parametrize(
    "arguments, limit",
    [((), 33554432), (("-s", "1000"), 1000), (("-s", "0"), 0)],
)
@pytest.mark.usefixtures("heard")
def test_the_size_limit_is_set_whether_or_not_the_class_takes_it(
    cls: Any, arguments: tuple[str, ...], limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert started(monkeypatch, cls, *arguments).data_size_limit == limit


@pytest.mark.parametrize("name", ["PureProxy", "__main__.PureProxy"])
def test_a_bundled_class_may_be_named_as_the_original_s_of_its_main_module(
    name: str,
) -> None:
    assert _commandline._load(name) is smtpd_compat.PureProxy


def test_a_limit_that_the_class_sets_itself_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Own(smtpd_compat.SMTPServer):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.data_size_limit = 5

    assert started(monkeypatch, Own, "-s", "1000").data_size_limit == 5


@pytest.mark.usefixtures("heard")
def test_limits_are_set_only_where_the_class_has_one_that_is_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Open(Plain):
        idle_timeout = None
        connection_limit = 0

    ours = started(monkeypatch, smtpd_compat.SMTPServer)
    limits = (ours.idle_timeout, ours.connection_limit, ours.recipient_limit)
    assert limits == (300.0, 8192, 1000)
    server = started(monkeypatch, Open)
    assert (server.idle_timeout, server.connection_limit) == (300.0, 0)
    assert "recipient_limit" not in vars(server)


@pytest.mark.usefixtures("heard")
def test_a_function_may_make_the_server_and_return_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Any] = []

    def make(localaddr: Any, remoteaddr: Any) -> None:
        made.append(TwoArguments(localaddr, remoteaddr))

    assert started(monkeypatch, make) is None
    assert made[0] not in asyncore.socket_map.values()


@pytest.mark.parametrize("error", [TypeError, ValueError, OSError, LookupError])
@pytest.mark.usefixtures("heard")
def test_an_exception_of_a_class_of_ones_own_is_raised(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its author has to see where."""

    class Mistaken(TwoArguments):
        def __init__(self, localaddr: Any, remoteaddr: Any) -> None:
            super().__init__(localaddr, remoteaddr)
            raise error("a mistake")

    with pytest.raises(error, match="a mistake"):
        started(monkeypatch, Mistaken)
    assert asyncore.socket_map == {}


@pytest.mark.usefixtures("heard")
def test_an_exception_of_ours_that_such_a_class_causes_is_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Mistaken(smtpd_compat.SMTPServer):
        def __init__(self, localaddr: Any, remoteaddr: Any) -> None:
            super().__init__(5, remoteaddr)  # type: ignore[arg-type]

    with pytest.raises(TypeError):
        started(monkeypatch, Mistaken)


def test_a_server_may_have_a_socket_map_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Own(smtpd_compat.SMTPServer):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, map={}, **kwargs)

    server = started(monkeypatch, Own)
    assert server.accepting
    server.close()


@pytest.mark.parametrize("host", ["a..b", "no such host", "\0"])
def test_a_host_that_cannot_be_listened_on_is_a_message(
    host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        sys, "argv", ["program", "-n", "-c", "DebuggingServer", f"{host}:1"]
    )
    with pytest.raises(SystemExit) as exit:
        _commandline.main()
    assert exit.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith(f"Cannot start DebuggingServer on {host}:1: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_without_output_the_server_is_started(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As pythonw has none."""
    monkeypatch.setattr(sys, name, None)
    started(monkeypatch, smtpd_compat.SMTPServer)
    assert getattr(sys, name) is None


def test_what_a_server_prints_shows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in a pipe or in a file."""
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO()))
    started(monkeypatch, smtpd_compat.SMTPServer)
    assert sys.stdout.line_buffering  # type: ignore[union-attr]


# Privileges


def becomes_nobody(monkeypatch: pytest.MonkeyPatch, **functions: Any) -> list[Any]:
    """Start the command as root would; what the system is told."""
    told: list[Any] = []
    for name in ("setgroups", "setgid", "setuid"):
        functions.setdefault(name, lambda what, name=name: told.append((name, what)))
    monkeypatch.setattr(smtpd_compat, "os", SimpleNamespace(**functions))
    monkeypatch.setattr(_stopping, "serve", lambda server: told.append("serves"))
    monkeypatch.setattr(
        sys, "argv", ["program", "-c", "DebuggingServer", "127.0.0.1:0"]
    )
    _commandline.main()
    return told


def test_root_is_given_up_for_good_before_the_server_serves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pwd = pytest.importorskip("pwd")
    nobody = SimpleNamespace(pw_uid=7, pw_gid=8)
    monkeypatch.setattr(pwd, "getpwnam", {"nobody": nobody}.__getitem__)
    assert becomes_nobody(monkeypatch) == [
        ("setgroups", []),
        ("setgid", 8),
        ("setuid", 7),
        "serves",
    ]


def refuses(what: Any) -> None:
    raise PermissionError(errno.EPERM, "not permitted")


@pytest.mark.parametrize("step", ["setgroups", "setgid", "setuid", "no nobody"])
def test_a_user_that_nobody_can_become_is_a_message(
    step: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pwd = pytest.importorskip("pwd")
    if step == "no nobody":
        monkeypatch.setattr(pwd, "getpwnam", {}.__getitem__)
    with pytest.raises(SystemExit) as exit:
        becomes_nobody(monkeypatch, **{step: refuses})
    assert exit.value.code == 1
    said = 'Cannot setuid "nobody"; try running with -n option.\n'
    assert capsys.readouterr().err == said


def test_a_system_without_users_is_a_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pwd", None)
    with pytest.raises(SystemExit) as exit:
        becomes_nobody(monkeypatch)
    assert exit.value.code == 1
    said = 'Cannot import module "pwd"; try running with -n option.\n'
    assert capsys.readouterr().err == said


# Output that nobody can take


class Full(io.StringIO):
    """A stream on a full disk."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "no space left")

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "no space left")


def closed() -> io.TextIOWrapper:
    stream = io.TextIOWrapper(io.BytesIO())
    stream.close()
    return stream


@pytest.mark.parametrize("make", [closed, Full])
def test_the_status_is_what_it_is_though_standard_error_takes_nothing(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", make())
    with pytest.raises(SystemExit) as caught:
        parsed(monkeypatch, "-s", "ten")
    assert caught.value.code == 1


@pytest.mark.parametrize("name", ["stdout", "stderr"])
@pytest.mark.parametrize("make", [closed, Full])
def test_output_that_cannot_leave_is_given_up_at_the_end(
    make: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the interpreter would end with another status, and say so."""
    kept = io.StringIO()
    monkeypatch.setattr(sys, "stdout", kept)
    monkeypatch.setattr(sys, "stderr", kept)
    monkeypatch.setattr(sys, name, make())
    monkeypatch.setattr(sys, "argv", ["program", "-x"])
    with pytest.raises(SystemExit) as caught:
        _commandline.main()
    assert caught.value.code == 1
    assert getattr(sys, name) is None
    assert getattr(sys, {"stdout": "stderr", "stderr": "stdout"}[name]) is kept
