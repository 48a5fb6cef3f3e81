"""The options of ``python -m smtpd_compat`` as a process obeys them."""

from __future__ import annotations

import os
import shutil
import signal
import smtplib
import socket
import sys
from pathlib import Path

import pytest

from tests.functional.processes import (
    COMMAND,
    PATIENCE,
    ROOT,
    STRICT_COMMAND,
    Server,
    end,
    interruptible,
    reserved_port,
    run,
    server_process,
    start,
)

SERVERS = "tests.functional.servers."


def connected(server: Server) -> smtplib.SMTP:
    return smtplib.SMTP(server.host, server.port, timeout=PATIENCE)


# Importing


def test_import_prints_and_warns_nothing() -> None:
    ended = end(start([sys.executable, "-W", "error", "-c", "import smtpd_compat"]))
    assert ended == (0, "", "")


# The end


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_an_idle_server_quietly(signum: int) -> None:
    with server_process("-n", "-c", "DebuggingServer") as server:
        assert server.stop(signum) == (0, "", "")


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_signal_in_the_middle_of_a_message_ends_the_server_quietly(signum: int) -> None:
    with server_process("-n", "-c", "DebuggingServer") as server:
        client = socket.create_connection((server.host, server.port), PATIENCE)
        with client, client.makefile("rb") as replies:
            client.sendall(b"HELO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n")
            codes = [replies.readline()[:3] for _ in range(5)]
            assert codes == [b"220", b"250", b"250", b"250", b"354"]
            client.sendall(b"Subject: never finished\r\n")
            assert server.stop(signum) == (0, "", "")


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name", ["CannotClose", "NeverCloses"])
def test_signal_ends_a_server_quietly_that_cannot_close(name: str, signum: int) -> None:
    with server_process("-n", "-c", SERVERS + name) as server:
        assert server.stop(signum) == (0, "", "")


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
@pytest.mark.parametrize("name", ["CannotClose", "NeverCloses"])
def test_a_server_that_cannot_close_still_takes_leave_of_its_clients(
    name: str,
) -> None:
    with server_process("-n", "-c", SERVERS + name) as server:
        with connected(server) as client:
            server.process.send_signal(signal.SIGTERM)
            assert client.getreply()[0] == 421
        assert server.stop(signal.SIGTERM).stderr == ""


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_ctrl_c_while_the_package_is_loaded_leaves_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, time\n"
        "class Stalls:\n"
        "    def find_spec(name, path=None, target=None):\n"
        "        if name == 'smtpd_compat._commandline':\n"
        "            print('loading', flush=True)\n"
        "            time.sleep(60)\n"
        "sys.meta_path.insert(0, Stalls)\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{ROOT}")
    process = start([*COMMAND, "-n", "-c", "DebuggingServer", "127.0.0.1:0"])
    assert process.stdout is not None
    assert process.stdout.readline() == "loading\n"
    process.send_signal(signal.SIGINT)
    assert end(process) == (-signal.SIGINT, "", "")


# Output


@pytest.mark.parametrize(
    "broken", [("stdout",), ("stderr",), ("stdout", "stderr")], ids=" and ".join
)
def test_broken_output_does_not_end_the_server(broken: tuple[str, ...]) -> None:
    """A terminal that is closed, say, or the reader of a pipe that has gone."""
    with server_process("-n", "-d", "-c", "DebuggingServer") as server:
        for name in broken:
            getattr(server.process, name).close()
        for _ in range(2):
            with connected(server) as client:
                client.helo("x")
                client.mail("a@b")
                client.rcpt("c@d")
                said = 451 if "stdout" in broken else 250
                assert client.data("text\n")[0] == said
                assert client.noop()[0] == 250
        server.process.send_signal(signal.SIGTERM)
        # What has not been closed is read to its end.
        for name in {"stdout", "stderr"}.difference(broken):
            with getattr(server.process, name) as stream:
                stream.read()
        assert server.process.wait(PATIENCE) == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("arguments, status", [(["-h"], 0), (["-V"], 0), (["x"], 1)])
def test_usage_that_cannot_be_written_leaves_the_status_as_it_is(
    arguments: list[str], status: int
) -> None:
    with open("/dev/full", "wb") as full:
        process = start([*COMMAND, *arguments], stdout=full, stderr=full)
    assert process.wait(PATIENCE) == status


# Options


def test_class_from_another_module_gets_the_mail() -> None:
    with server_process("-n", "-c", SERVERS + "FromElsewhere") as server:
        with connected(server) as client:
            client.sendmail("a@b", ["c@d", "e@f"], "text\n")
        assert server.stop() == (0, "a@b -> ['c@d', 'e@f']: b'text'\n", "")


def test_class_with_two_arguments_gets_the_mail_as_text() -> None:
    name = SERVERS + "TwoArguments"
    with server_process("-n", "-c", name, command=COMMAND) as server:
        with connected(server) as client:
            client.sendmail("a@b", ["c@d", "e@f"], "text\n")
        assert server.stop() == (0, "a@b -> ['c@d', 'e@f']: 'text'\n", "")


def test_debug_option_traces_the_conversation_on_standard_error() -> None:
    with server_process("-n", "-d", "-c", "DebuggingServer") as server:
        with connected(server) as client:
            for command in ("EHLO x", "MAIL FROM:<a@b> SIZE=5", "RCPT TO:<c@d>"):
                assert client.docmd(command)[0] == 250
            assert client.data("text")[0] == 250
        ended = server.stop()
    assert ended.status == 0
    places = [
        ended.stderr.find(trace)
        for trace in (
            "DebuggingServer started at ",
            f"\tLocal addr: ('127.0.0.1', {server.port})\n",
            "Incoming connection from ('127.0.0.1', ",
            "Peer: ('127.0.0.1', ",
            "Data: b'EHLO x'\n",
            "Data: b'MAIL FROM:<a@b> SIZE=5'\n",
            "===> MAIL FROM:<a@b> SIZE=5\n",
            "sender: a@b\n",
            "===> RCPT TO:<c@d>\n",
            "recips: ['c@d']\n",
            "Data: b'text'\n",
            "Data: b'QUIT'\n",
        )
    ]
    assert -1 not in places and places == sorted(places), ended.stderr


def test_debug_option_reaches_a_class_from_another_module() -> None:
    with server_process("-n", "-d", "-c", SERVERS + "FromElsewhere") as server:
        with connected(server) as client:
            client.sendmail("a@b", ["c@d"], "text\n")
        assert "FromElsewhere tells 4 octets\n" in server.stop().stderr


def test_the_command_line_sets_limits_that_the_class_leaves_open() -> None:
    with server_process("-n", "-c", SERVERS + "TellsItsLimits") as server:
        with connected(server) as client:
            client.sendmail("a@b", ["c@d"], "text\n")
        assert server.stop().stdout == "300.0 8192 7\n"


def test_size_option_limits_the_message() -> None:
    with server_process("-n", "-s", "1000", "-c", "DebuggingServer") as server:
        with connected(server) as client:
            client.ehlo("client.example.org")
            assert client.esmtp_features["size"] == "1000"
            client.mail("a@b")
            client.rcpt("c@d")
            code, reply = client.data("x" * 2000)
            assert (code, reply) == (552, b"Error: Too much mail data")
            client.sendmail("a@b", ["c@d"], "x" * 500)
        ended = server.stop()
    assert (ended.status, ended.stderr) == (0, "")
    assert f"b'{'x' * 500}'\n" in ended.stdout
    assert ended.stdout.count("MESSAGE FOLLOWS") == 1


def test_size_is_32_mib_where_nothing_else_is_said() -> None:
    with server_process("-n", "-c", "DebuggingServer") as server:
        with connected(server) as client:
            client.ehlo("client.example.org")
            assert client.esmtp_features["size"] == "33554432"


def test_smtputf8_option_takes_international_mail() -> None:
    with server_process("-n", "-u", "-c", "DebuggingServer") as server:
        with connected(server) as client:
            client.ehlo("client.example.org")
            client.sendmail(
                "ünal@example.org",
                ["b@example.org"],
                "Subject: grüße\n\ntext\n".encode(),
                mail_options=["SMTPUTF8", "BODY=8BITMIME"],
            )
        ended = server.stop()
    assert (ended.status, ended.stderr) == (0, "")
    assert f"{'Subject: grüße'.encode()!r}\n" in ended.stdout
    assert "'SMTPUTF8', 'BODY=8BITMIME'" in ended.stdout


def test_default_class_relays_to_the_remote_host() -> None:
    with server_process("-n", "-c", "DebuggingServer") as upstream:
        remote = f"{upstream.host}:{upstream.port}"
        with server_process("-n", remote=remote) as proxy:
            with connected(proxy) as client:
                client.sendmail("a@b", ["c@d"], "Subject: relayed\n\ntext\n")
            assert proxy.stop() == (0, "", "")
        ended = upstream.stop()
    assert (ended.status, ended.stderr) == (0, "")
    assert "b'Subject: relayed'\nb'X-Peer: 127.0.0.1'\n" in ended.stdout


def test_smtputf8_option_with_a_class_that_has_none_is_a_message() -> None:
    name = SERVERS + "TwoArguments"
    ended = run("-n", "-u", "-c", name, "127.0.0.1:0", command=COMMAND)
    assert ended == (1, "", f"{name} does not support SMTPUTF8.\n")


def test_smtputf8_option_with_the_default_class_is_a_message() -> None:
    ended = run("-n", "-u", "127.0.0.1:0")
    assert (ended.status, ended.stdout) == (1, "")
    assert ended.stderr.endswith("PureProxy does not support SMTPUTF8.\n")
    assert ended.stderr.count("\n") == 1


def test_address_in_use_is_a_message() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run("-n", "-c", "DebuggingServer", f"127.0.0.1:{port}")
    assert (ended.status, ended.stdout) == (1, "")
    said = f"Cannot start DebuggingServer on 127.0.0.1:{port}: "
    assert ended.stderr.startswith(said)
    assert ended.stderr.count("\n") == 1


def test_relay_to_itself_is_a_message() -> None:
    with reserved_port("127.0.0.1") as port:
        here = f"127.0.0.1:{port}"
        ended = run("-n", here, here)
    assert (ended.status, ended.stdout) == (1, "")
    assert ended.stderr.startswith("Cannot start PureProxy: ")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "name, said",
    [
        ("Nope", "No class Nope: "),
        ("loop", "No class loop: "),
        ("SMTPChannel", "No class SMTPChannel: "),
        ("nope.Server", "Cannot import the class nope.Server: "),
        (SERVERS + "Nope", f"No class {SERVERS}Nope: "),
        ("tests.functional.servers", "No class tests.functional.servers: "),
        ("os.path", "No class os.path: <module "),
        (SERVERS + "SERVERS", f"No class {SERVERS}SERVERS: 'none' cannot be called\n"),
        (SERVERS + "not_a_server", SERVERS + "not_a_server is no server: calling it"),
    ],
)
def test_what_is_no_class_of_servers_is_a_message(name: str, said: str) -> None:
    ended = run("-n", "-c", name, "127.0.0.1:0", command=COMMAND)
    assert (ended.status, ended.stdout) == (1, "")
    assert ended.stderr.startswith(said)
    assert ended.stderr.count("\n") == 1


def test_a_module_that_is_not_python_is_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "not_python.py").write_text("class class:\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    ended = run("-n", "-c", "not_python.Server", "127.0.0.1:0", command=COMMAND)
    assert (ended.status, ended.stdout) == (1, "")
    assert ended.stderr.startswith("Cannot import the class not_python.Server: ")
    assert "(not_python.py, line 1)" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_class_that_wants_an_argument_of_its_own_is_a_message() -> None:
    name = SERVERS + "WantsACertificate"
    ended = run("-n", "-c", name, "127.0.0.1:0", command=COMMAND)
    assert (ended.status, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"Cannot start {name}: ")
    assert ended.stderr.endswith("keyword-only argument: 'certfile'\n")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("module", ["asyncore", "asynchat"])
def test_asyncore_that_is_broken_is_a_message_that_says_how_to_mend_it(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after removing one of two packages that install the same folder."""
    (tmp_path / module).mkdir()
    (tmp_path / module / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{ROOT}")
    ended = run("-n", "-c", "DebuggingServer", "127.0.0.1:0", command=COMMAND)
    assert (ended.status, ended.stdout) == (1, "")
    said, _, how = ended.stderr.partition("; ")
    needs, _, error = said.partition(", which cannot be used: ")
    assert needs == "smtpd_compat needs asyncore and asynchat"
    assert f"'{module}'" in error
    assert error.endswith((")", "'"))
    if sys.version_info >= (3, 12):
        packages = "pyasyncore pyasynchat"
        assert how == f"mend it with: pip install --force-reinstall {packages}\n"
    else:
        assert how == "is there an asyncore.py or asynchat.py of your own?\n"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncore comes with Python")
def test_missing_asyncore_is_a_message_that_says_how_to_mend_it() -> None:
    program = [sys.executable, "-S", "-m", "smtpd_compat"]  # without site-packages
    ended = run("-n", "-c", "DebuggingServer", "127.0.0.1:0", command=program)
    assert (ended.status, ended.stdout) == (1, "")
    assert "No module named 'asynchat'; mend it with: pip install " in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_class_without_process_message_is_told_to_override_it() -> None:
    with server_process("-n", "-c", "SMTPServer") as server:
        with connected(server) as client:
            with pytest.raises(smtplib.SMTPDataError):
                client.sendmail("a@b", ["c@d"], "text\n")
        ended = server.stop()
    assert "SMTPServer: override process_message" in ended.stdout


@pytest.mark.parametrize(
    "name, line, error",
    [
        ("HasAMistake", 'self.limit = int("none")', "ValueError: "),
        ("HasNoFile", 'open("/no/such/file")', "FileNotFoundError: "),
    ],
)
def test_a_mistake_in_somebodys_class_is_shown_with_its_place(
    name: str, line: str, error: str
) -> None:
    ended = run("-n", "-c", SERVERS + name, "127.0.0.1:0", command=COMMAND)
    assert (ended.status, ended.stdout) == (1, "")
    assert line in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith(error)


def test_the_help_names_the_program_by_its_path() -> None:
    ended = run("-h")
    assert (ended.status, ended.stdout) == (0, "")
    (usage,) = (line for line in ended.stderr.splitlines() if "Usage: " in line)
    assert os.path.samefile(usage.split()[1], ROOT / "smtpd_compat" / "__main__.py")


def test_version_is_the_banners() -> None:
    assert run("-V") == (0, "Python SMTP proxy version 0.3\n", "")


# Privileges

root_only = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs to be root"
)


def _with_a_group_of_its_own() -> None:
    interruptible()
    os.setgroups([0, 1])


@root_only
@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")
def test_root_becomes_nobody_and_serves_on(monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    # Nobody may not write down what it covered, and would say so.
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
    nobody = pwd.getpwnam("nobody")
    with server_process(
        "-c", "DebuggingServer", preexec_fn=_with_a_group_of_its_own
    ) as server:
        with open(f"/proc/{server.process.pid}/status") as lines:
            status = dict(line.rstrip("\n").split(":", 1) for line in lines)
        assert status["Uid"].split() == [str(nobody.pw_uid)] * 4
        assert status["Gid"].split() == [str(nobody.pw_gid)] * 4
        assert status["Groups"].split() == []
        with connected(server) as client:
            client.sendmail("a@b", ["c@d"], "text\n")
        ended = server.stop()
    assert (ended.status, ended.stderr) == (0, "")
    assert "b'text'\n" in ended.stdout


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs users")
def test_without_root_and_without_n_is_a_message() -> None:
    command = [*STRICT_COMMAND, "-c", "DebuggingServer", "127.0.0.1:0"]
    if os.geteuid() == 0:
        # A root that may not change its user; any other user might not be able to
        # read root's own Python.
        if shutil.which("setpriv") is None:
            pytest.skip("setpriv is not installed")
        command = ["setpriv", "--bounding-set=-setuid,-setgid", *command]
    message = 'Cannot setuid "nobody"; try running with -n option.\n'
    assert end(start(command)) == (1, "", message)
