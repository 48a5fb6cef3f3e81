"""Programs assign to the module's names, and patch its classes: it takes effect."""

from __future__ import annotations

import contextlib
import io
import socket
import sys
import types
from unittest import mock

import pytest

import smtpd_compat
from smtpd_compat import asynchat, asyncore
from tests.support.fresh import fresh

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


class _Delegate(types.SimpleNamespace):
    """Stands in a module's place: what it is not given, it takes from the module."""

    def __init__(self, module: Any, **own: Any) -> None:
        super().__init__(**own)
        self.__dict__["_module"] = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


class _Recorder:
    """A stream that remembers what is written to it, and can do nothing else."""

    def __init__(self) -> None:
        self.written = ""

    def write(self, text: str) -> None:
        self.written += text


class _Server(smtpd_compat.SMTPServer):
    def process_message(self, *args: Any, **kwargs: Any) -> str:
        return "250 processed"


@pytest.fixture
def map() -> Iterator[dict[int, Any]]:
    map: dict[int, Any] = {}
    yield map
    asyncore.close_all(map, ignore_all=True)


def _server(map: dict[int, Any], cls: Any = _Server) -> Any:
    return cls(("127.0.0.1", 0), None, map=map)


def _conversation(server: Any, map: dict[int, Any], text: bytes) -> str:
    """What a client hears that says *text*."""
    client, conn = socket.socketpair()
    with client:
        server.handle_accepted(conn, ("192.0.2.7", 40007))
        client.sendall(text)
        client.setblocking(False)
        heard = b""
        for _ in range(10):
            asyncore.loop(0, False, map, 1)
            with contextlib.suppress(BlockingIOError):
                heard += client.recv(1 << 16)
    asyncore.loop(0, False, map, 1)
    return heard.decode()


def test_DEBUGSTREAM_gets_the_trace_from_the_moment_it_is_assigned(
    map: dict[int, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = _server(map)
    stream = _Recorder()
    monkeypatch.setattr(smtpd_compat, "DEBUGSTREAM", stream)
    _conversation(server, map, b"HELO x\r\nMAIL FROM:<a@b>\r\n")
    assert "Incoming connection from ('192.0.2.7', 40007)\n" in stream.written
    assert "===> MAIL FROM:<a@b>\nsender: a@b\n" in stream.written


def test_DEBUGSTREAM_gets_the_start_of_a_server(
    map: dict[int, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = _Recorder()
    monkeypatch.setattr(smtpd_compat, "DEBUGSTREAM", stream)
    _server(map)
    assert stream.written.startswith("_Server started at ")
    assert stream.written.endswith("Local addr: ('127.0.0.1', 0)\n\tRemote addr:None\n")


def test_Devnull_write_may_be_patched_to_trace(
    map: dict[int, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    monkeypatch.setattr(
        smtpd_compat.Devnull, "write", lambda self, text: written.append(text)
    )
    _conversation(_server(map), map, b"NOOP\r\n")
    assert "b'NOOP'" in written


def test_version_shows_in_the_banner(
    map: dict[int, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtpd_compat, "__version__", "ESMTP Postfix")
    heard = _conversation(_server(map), map, b"")
    assert heard.startswith("220 ") and heard.endswith(" ESMTP Postfix\r\n")


def test_socket_is_asked_for_the_host_s_name(
    map: dict[int, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = _Delegate(socket, getfqdn=lambda: "fake.example")
    monkeypatch.setattr(smtpd_compat, "socket", fake)
    heard = _conversation(_server(map), map, b"EHLO x\r\n")
    assert heard.startswith("220 fake.example ")
    assert "\r\n250-fake.example\r\n" in heard


def test_socket_is_asked_for_the_family_of_an_address(
    map: dict[int, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def getaddrinfo(*args: Any, **kwargs: Any) -> Any:
        asked.append((args, kwargs))
        return socket.getaddrinfo(*args, **kwargs)

    fake = _Delegate(socket, getaddrinfo=getaddrinfo)
    monkeypatch.setattr(smtpd_compat, "socket", fake)
    _server(map)
    assert asked == [(("127.0.0.1", 0), {"type": socket.SOCK_STREAM})]


def test_mock_patch_puts_another_socket_in_place_and_takes_it_out_again(
    map: dict[int, Any],
) -> None:
    with mock.patch("smtpd_compat.socket", wraps=socket) as patched:
        patched.getfqdn.return_value = "mock.example"
        heard = _conversation(_server(map), map, b"")
    assert heard.startswith("220 mock.example ")
    assert smtpd_compat.socket is socket
    assert not _conversation(_server(map), map, b"").startswith("220 mock.example ")


def test_mock_patch_of_getfqdn_itself_takes_effect(map: dict[int, Any]) -> None:
    with mock.patch("smtpd_compat.socket.getfqdn", return_value="mock.example"):
        assert _conversation(_server(map), map, b"").startswith("220 mock.example ")


def test_time_is_what_the_start_of_a_server_shows(
    map: dict[int, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = types.SimpleNamespace(time=lambda: 5, ctime=lambda at: f"second {at}")
    stream = _Recorder()
    monkeypatch.setattr(smtpd_compat, "time", fake)
    monkeypatch.setattr(smtpd_compat, "DEBUGSTREAM", stream)
    _server(map)
    assert stream.written.startswith("_Server started at second 5\n")


def test_sys_is_asked_for_the_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = _Delegate(sys, argv=["program", "-n", "-c", "Mine", "host:26"])
    monkeypatch.setattr(smtpd_compat, "sys", fake)
    options = smtpd_compat.parseargs()
    assert not options.setuid
    assert options.classname == "Mine"
    assert (options.localhost, options.localport) == ("host", 26)


def test_sys_is_what_the_usage_goes_to(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(smtpd_compat, "sys", _Delegate(sys, stderr=stream))
    with pytest.raises(SystemExit):
        smtpd_compat.usage(1, "what went wrong")
    assert stream.getvalue().endswith("what went wrong\n")


def test_asyncore_is_whose_dispatcher_a_server_initialises(
    map: dict[int, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    initialised: list[Any] = []

    class Dispatcher(asyncore.dispatcher):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            initialised.append(self)
            asyncore.dispatcher.__init__(self, *args, **kwargs)

    fake = _Delegate(asyncore, dispatcher=Dispatcher)
    monkeypatch.setattr(smtpd_compat, "asyncore", fake)
    server = _server(map)
    assert initialised == [server]


def test_asynchat_is_whose_async_chat_a_channel_initialises(
    map: dict[int, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    initialised: list[Any] = []

    class AsyncChat(asynchat.async_chat):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            initialised.append(self)
            asynchat.async_chat.__init__(self, *args, **kwargs)

    fake = _Delegate(asynchat, async_chat=AsyncChat)
    monkeypatch.setattr(smtpd_compat, "asynchat", fake)
    _conversation(_server(map), map, b"NOOP\r\n")
    assert [type(channel) for channel in initialised] == [smtpd_compat.SMTPChannel]


def test_a_command_patched_into_SMTPChannel_is_run(
    map: dict[int, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def smtp_EHLO(self: Any, arg: Any) -> None:
        self.seen_greeting = arg
        self.push(f"250 patched for {arg}")

    monkeypatch.setattr(smtpd_compat.SMTPChannel, "smtp_EHLO", smtp_EHLO)
    heard = _conversation(_server(map), map, b"EHLO x\r\nMAIL FROM:<a@b>\r\n")
    assert heard.endswith("250 patched for x\r\n250 OK\r\n")


def test_a_command_added_to_SMTPChannel_is_run(
    map: dict[int, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        smtpd_compat.SMTPChannel,
        "smtp_XTRA",
        lambda self, arg: self.push("250 extra"),
        raising=False,
    )
    assert _conversation(_server(map), map, b"XTRA\r\n").endswith("250 extra\r\n")


@pytest.mark.parametrize(
    "hook", ["collect_incoming_data", "found_terminator", "push", "handle_read"]
)
def test_a_hook_patched_into_SMTPChannel_is_called(
    map: dict[int, Any], monkeypatch: pytest.MonkeyPatch, hook: str
) -> None:
    calls: list[Any] = []
    good = getattr(smtpd_compat.SMTPChannel, hook)

    def patched(self: Any, *args: Any) -> Any:
        calls.append(args)
        return good(self, *args)

    monkeypatch.setattr(smtpd_compat.SMTPChannel, hook, patched)
    heard = _conversation(_server(map), map, b"NOOP\r\n")
    assert calls
    assert heard.endswith("250 OK\r\n")


def test_a_hook_patched_into_one_channel_is_called(map: dict[int, Any]) -> None:
    lines: list[bytes] = []

    class Channel(smtpd_compat.SMTPChannel):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.collect_incoming_data = lines.append  # type: ignore[method-assign]

    server = _server(map)
    server.channel_class = Channel
    _conversation(server, map, b"NOOP\r\n")
    assert lines == [b"NOOP"]


def test_process_message_patched_into_SMTPServer_is_called(
    map: dict[int, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        smtpd_compat.SMTPServer,
        "process_message",
        lambda self, *args, **kwargs: "250 " + repr(args[1:]),
    )
    server = _server(map, smtpd_compat.SMTPServer)
    message = b"HELO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n\r\nx\r\n.\r\n"
    heard = _conversation(server, map, message)
    assert heard.endswith("250 ('a@b', ['c@d'], b'\\nx')\r\n")


def test_channel_class_patched_into_SMTPServer_is_used(
    map: dict[int, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Channel(smtpd_compat.SMTPChannel):
        def smtp_NOOP(self, arg: Any) -> None:
            self.push("250 from the patched class")

    monkeypatch.setattr(smtpd_compat.SMTPServer, "channel_class", Channel)
    heard = _conversation(_server(map), map, b"NOOP\r\n")
    assert heard.endswith("250 from the patched class\r\n")


def test_the_size_limit_of_all_channels_may_be_patched(
    map: dict[int, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtpd_compat.SMTPChannel, "command_size_limit", 10)
    heard = _conversation(_server(map), map, b"NOOP 67890\r\nNOOP 678901\r\n")
    assert heard.endswith("501 Syntax: NOOP\r\n500 Error: line too long\r\n")


# Names that are loaded when they are first asked for


def test_dir_lists_every_name_and_every_name_is_there() -> None:
    program = (
        "import smtpd_compat as smtpd\n"
        "names = dir(smtpd)\n"
        "missing = [n for n in names if getattr(smtpd, n, None) is None]\n"
        "print(set(missing) - {'__cached__'})\n"
        "print(*(n for n in names if not n.startswith('_')))\n"
    )
    missing, names = fresh(program).splitlines()
    assert missing == "set()"
    shown = {name for name in vars(smtpd_compat) if not name.startswith("_")}
    assert shown - {"annotations"} <= set(names.split())
    assert {"loop", "install_as_smtpd", *smtpd_compat.__all__} <= set(names.split())
    assert "TYPE_CHECKING" not in names.split()


def test_the_import_loads_no_asyncore() -> None:
    program = (
        "import sys\n"
        "before = set(sys.modules)\n"
        "import smtpd_compat\n"
        "print({'asyncore', 'socket', 're'} & (set(sys.modules) - before))\n"
        "smtpd_compat.SMTPServer\n"
        "print({'asyncore', 'socket', 're'} - set(sys.modules))\n"
    )
    assert fresh(program) == "set()\nset()\n"


def test_star_imports_the_five_classes() -> None:
    program = "from smtpd_compat import *\nprint(*(n for n in dir() if n[0] != '_'))"
    assert sorted(fresh(program).split()) == [
        *("DebuggingServer", "MailmanProxy", "PureProxy", "SMTPChannel", "SMTPServer")
    ]


def test_what_is_assigned_before_a_class_is_loaded_holds() -> None:
    program = (
        "import socket, types, smtpd_compat as smtpd\n"
        "class Fake:\n"
        "    getaddrinfo = staticmethod(lambda *a, **k: 1 / 0)\n"
        "    def __getattr__(self, name): return getattr(socket, name)\n"
        "smtpd.socket = fake = Fake()\n"
        "try:\n"
        "    smtpd.SMTPServer(('localhost', 0), None)\n"
        "except ZeroDivisionError:\n"
        "    print(smtpd.socket is fake)\n"
    )
    assert fresh(program) == "True\n"


def test_a_name_that_the_module_never_had_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'smtpd_compat' has no attribute 'nope'"):
        smtpd_compat.nope  # noqa: B018


def test_an_assigned_size_is_no_default_as_the_original_s_were_set_at_the_import() -> (
    None
):
    program = (
        "import inspect, smtpd_compat as smtpd\n"
        "smtpd.DATA_SIZE_DEFAULT = 1000\n"
        "for cls in smtpd.SMTPServer, smtpd.SMTPChannel:\n"
        "    print(inspect.signature(cls).parameters['data_size_limit'].default)\n"
    )
    assert fresh(program) == "33554432\n33554432\n"


def test_a_second_import_after_the_first_was_dropped_is_a_module_of_its_own() -> None:
    program = (
        "import sys, smtpd_compat as first\n"
        "first.SMTPServer\n"
        "del sys.modules['smtpd_compat']\n"
        "import smtpd_compat as second\n"
        "class Trace:\n"
        "    def write(self, text): print(end=text)\n"
        "second.DEBUGSTREAM = Trace()\n"
        "first.SMTPServer(('127.0.0.1', 0), 'the first', map={}).close()\n"
        "second.SMTPServer(('127.0.0.1', 0), 'the second', map={}).close()\n"
    )
    said = fresh(program)
    assert "the second" in said and "the first" not in said


@pytest.mark.parametrize("loaded", ["", "smtpd.SMTPServer"])
def test_asyncores_handle_error_patched_before_or_after_loading_is_called(
    loaded: str,
) -> None:
    program = (
        f"import smtpd_compat as smtpd\n{loaded}\n"
        "smtpd.asyncore.dispatcher.handle_error = lambda self: print(type(self))\n"
        "server = smtpd.SMTPServer(('127.0.0.1', 0), None, map={})\n"
        "server.handle_error()\n"
        "server.close()\n"
        "ours, theirs = smtpd.socket.socketpair()\n"
        "channel = smtpd.SMTPChannel(server, ours, '', map={})\n"
        "print(channel._smtpd.has_own_handle_error(channel))\n"
        "channel.handle_error()\n"
        "channel.close()\n"
        "theirs.close()\n"
    )
    assert fresh(program).splitlines() == [
        "<class 'smtpd_compat.SMTPServer'>",
        "True",
        "<class 'smtpd_compat.SMTPChannel'>",
    ]


# Threads


def test_the_package_is_imported_while_other_threads_import() -> None:
    program = (
        "import sys, threading, types\n"
        "sys.setswitchinterval(1e-6)\n"
        "done = False\n"
        "def others():\n"
        "    number = 0\n"
        "    while not done:\n"
        "        number += 1\n"
        "        sys.modules[f'other{number % 500}'] = types\n"
        "        sys.modules.pop(f'other{(number + 250) % 500}', None)\n"
        "threads = [threading.Thread(target=others) for _ in range(3)]\n"
        "for thread in threads: thread.start()\n"
        "try:\n"
        "    for _ in range(50):\n"
        "        sys.modules.pop('smtpd_compat', None)\n"
        "        import smtpd_compat\n"
        "finally:\n"
        "    done = True\n"
        "    for thread in threads: thread.join()\n"
        "print(smtpd_compat.__version__)\n"
    )
    assert fresh(program) == "Python SMTP proxy version 0.3\n"


def test_names_are_loaded_by_many_threads_at_once() -> None:
    program = (
        "import sys, threading\n"
        "sys.setswitchinterval(1e-6)\n"
        "import smtpd_compat\n"
        "names = sorted(set(dir(smtpd_compat)) - {'EMPTYSTRING'})\n"
        "everyone = threading.Barrier(12)\n"
        "found = []\n"
        "def look(first):\n"
        "    everyone.wait()\n"
        "    for name in names[first:] + names[:first]:\n"
        "        found.append((name, getattr(smtpd_compat, name)))\n"
        "threads = [threading.Thread(target=look, args=(5 * i % len(names),))\n"
        "           for i in range(12)]\n"
        "for thread in threads: thread.start()\n"
        "for thread in threads: thread.join()\n"
        "assert len(found) == 12 * len(names), len(found)\n"
        "assert len({(name, id(thing)) for name, thing in found}) == len(names)\n"
        "print('same')\n"
    )
    assert fresh(program) == "same\n"


@pytest.mark.parametrize("argv, program", [([], ""), (["prog"], "prog"), ([""], "")])
def test_the_program_is_called_as_it_was_called(argv: list[str], program: str) -> None:
    """Where Python is a part of something else, there may be no arguments at all."""
    said = fresh(
        f"import sys; sys.argv = {argv}; import smtpd_compat as smtpd\n"
        "print(repr(smtpd.program))\n"
    )
    assert said == f"{program!r}\n"
