"""Each recipe does what its page says it does."""

from __future__ import annotations

import base64
import contextlib
import email
import json
import logging
import mailbox
import os
import re
import shlex
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

import smtpd_compat
from tests.functional.processes import (
    PATIENCE,
    Server,
    end,
    reserved_port,
    serving_process,
)
from tests.recipes.pages import README, block, blocks, command, program
from tests.recipes.running import command_running, on_port, program_running
from tests.support.serving import address, serving

pytestmark = pytest.mark.skipif(
    not README.exists(), reason="README.md is not beside the tests"
)

MESSAGE = "Subject: Hi\n\nHello"


def run(heading: str) -> dict[str, Any]:
    """Run a recipe, and give back what it defined."""
    namespace: dict[str, Any] = {"__name__": "recipe"}
    exec(compile(program(heading), f"recipe: {heading}", "exec"), namespace)
    return namespace


def send(host: str, port: int, message: str | bytes = MESSAGE) -> None:
    with smtplib.SMTP(host, port, timeout=PATIENCE) as client:
        client.sendmail("a@example.org", ["b@example.com"], message)


# README.md


def test_the_quick_start_prints_what_the_readme_shows(tmp_path: Path) -> None:
    [start] = [
        b.text.strip()
        for b in blocks()
        if b.heading == "Quick start" and b.text.startswith("python -m smtpd_compat")
    ]
    client = command("README.md", "import smtplib")
    shown = block("Quick start", "")
    with command_running(start, tmp_path) as server:
        words = shlex.split(on_port(client, server.port))
        subprocess.run([sys.executable, *words[1:]], check=True, timeout=PATIENCE)
        server.seen_after("END MESSAGE")
        assert server.stop().stdout == shown


def test_the_program_that_the_readme_begins_with(tmp_path: Path) -> None:
    with program_running(program("In a program"), tmp_path) as server:
        send(server.host, server.port)
        assert "b@example.com" in server.seen_after("\n")


def test_the_import_for_the_pythons_that_lack_the_module_alone() -> None:
    code = program("In requirements.txt") + "print(smtpd.__name__)"
    imported = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        stdout=subprocess.PIPE,
        timeout=PATIENCE,
        text=True,
    )
    expected = "smtpd" if sys.version_info < (3, 12) else "smtpd_compat"
    assert imported.stdout == expected + "\n"


# docs/recipes.md


def test_pytest_fixture(tmp_path: Path) -> None:
    (tmp_path / "test_signup.py").write_text(program("A pytest fixture"))
    root = str(Path(smtpd_compat.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": root},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
    )
    assert "1 passed" in done.stdout, done.stdout


def test_the_fixture_leaves_nothing_behind() -> None:
    recipe = run("A pytest fixture")
    fixture = getattr(recipe["inbox"], "__wrapped__", None)
    if fixture is None:  # as pytest keeps it from 8.4 on
        fixture = recipe["inbox"]._get_wrapped_function()
    for inbox in fixture():
        recipe["test_signup_sends_mail"](inbox)


def test_the_fixture_passes_mypy(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is not installed")
    (tmp_path / "test_signup.py").write_text(program("A pytest fixture"))
    root = str(Path(smtpd_compat.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", os.devnull]
        + ["--python-version=3.11", "test_signup.py"],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": root},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout


def test_readable_mail(tmp_path: Path) -> None:
    message = EmailMessage()
    message["From"] = "Änn <ann@example.org>"
    message["Subject"] = "grüße"
    message.set_content("Hällo\n")
    message.add_attachment(b"12345", "application", "pdf", filename="bill.pdf")
    odd = b"Subject: odd\nContent-Type: text/plain; charset=x-none\n\n\xe4 and so on\n"
    empty = b"Subject: empty\nContent-Type: multipart/mixed; boundary=x\n\n--x--\n"
    with program_running(program("Readable mail"), tmp_path) as server:
        for content in (message.as_bytes(), odd, empty):
            send(server.host, server.port, content)
        shown = server.seen_after("Subject: empty\n")
    assert shown == (
        "----- from a@example.org to b@example.com\n"
        "From: Änn <ann@example.org>\n"
        "Subject: grüße\n\nHällo\n"
        "[bill.pdf, application/pdf, 5 octets]\n"
        "----- from a@example.org to b@example.com\n"
        "Subject: odd\n\n\ufffd and so on\n"
        "----- from a@example.org to b@example.com\n"
        "Subject: empty\n"
    )


def test_mail_kept_as_a_maildir(tmp_path: Path) -> None:
    with program_running(program("Kept mail"), tmp_path) as server:
        send(server.host, server.port, b"Subject: Hi\n\nH\xe4llo")
        with smtplib.SMTP(server.host, server.port, timeout=PATIENCE) as client:
            client.sendmail("", ["b@example.com", "c@example.com"], MESSAGE)
    kept = list(mailbox.Maildir(tmp_path / "mail", create=False))
    said = sorted(
        (message["Return-Path"], message["X-Envelope-To"], message.get_payload())
        for message in kept
    )
    assert said == [
        ("<>", "b@example.com, c@example.com", "Hello\n"),
        ("<a@example.org>", "b@example.com", "H\ufffdllo\n"),
    ]


def test_mail_kept_as_json_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with serving(run("Kept mail")["JSONLines"]) as server:
        send(*address(server), b"Subject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\n\nH\xe4llo")
        send(*address(server), b"no subject")
    first, second = map(json.loads, Path("mail.jsonl").read_text().splitlines())
    assert (first["from"], first["to"]) == ("a@example.org", ["b@example.com"])
    assert first["subject"] == "grüße"
    data = first["data"].encode("utf-8", "surrogateescape")
    assert email.message_from_bytes(data).get_payload(decode=True) == b"H\xe4llo"
    assert second["subject"] is None


def test_a_server_in_a_thread(capsys: pytest.CaptureFixture[str]) -> None:
    run("A server in a thread")
    assert "b'Hello'" in capsys.readouterr().out


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_the_command_of_the_container_ends_on_sigterm_as_process_1(
    tmp_path: Path,
) -> None:
    [line] = re.findall(r"(?m)^CMD (.*)", block("A container", "dockerfile"))
    words = json.loads(line)
    assert words[0] == "python"
    # A new namespace of processes, whose first one is ours.
    inside = ["unshare", "--pid", "--fork", "--kill-child"]
    try:
        subprocess.run([*inside, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        inside = []
    with reserved_port("0.0.0.0") as port:
        words = [*inside, sys.executable, *words[1:-1], on_port(words[-1], port)]
        with serving_process(words, "127.0.0.1", port) as server:
            send("127.0.0.1", port)
            server.seen_after("END MESSAGE")
            process = server.process.pid
            if inside:
                [process] = children(process)
            os.kill(process, signal.SIGTERM)
            assert end(server.process).status == 0


def children(process: int) -> list[int]:
    """The processes that *process* has started, and that have not ended."""
    listed = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(number) for number in listed.split()]


def test_logging_as_a_client(caplog: pytest.LogCaptureFixture) -> None:
    taken = []

    class Server(smtpd_compat.SMTPServer):
        def process_message(self, *args: Any, **kwargs: Any) -> None:
            taken.append(args)

    with serving(Server) as server:
        recipe: dict[str, Any] = {}
        exec(on_port(program("Settings of clients"), address(server)[1]), recipe)
        try:
            logging.getLogger("app").error("it broke")
        finally:
            logging.getLogger().removeHandler(recipe["handler"])
    [(_, sender, recipients, data)] = taken
    assert (sender, recipients) == ("app@example.org", ["admin@example.org"])
    assert b"Subject: An error" in data and b"it broke" in data


@pytest.mark.parametrize("name", ["curl", "swaks"])
def test_a_client_s_command_line(name: str, tmp_path: Path) -> None:
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    (tmp_path / "message.txt").write_text(MESSAGE)
    line = command("recipes.md", f"{name} --" + ("mail-from" if name == "curl" else ""))
    taken = []

    class Server(smtpd_compat.SMTPServer):
        def process_message(self, *args: Any, **kwargs: Any) -> None:
            taken.append(args[1:3])

    with serving(Server) as server:
        words = shlex.split(on_port(line, address(server)[1]))
        subprocess.run(
            words, check=True, cwd=tmp_path, stdout=subprocess.PIPE, timeout=PATIENCE
        )
    assert taken == [("ann@example.org", ["bob@example.com"])]


def test_a_filter() -> None:
    recipe = run("A filter")
    taken = []

    class Upstream(smtpd_compat.SMTPServer):
        def process_message(self, *args: Any, **kwargs: Any) -> None:
            taken.append(args[3])

    with serving(Upstream) as upstream:
        with serving(recipe["Filter"], address(upstream)) as server:
            send(*address(server))
            with pytest.raises(smtplib.SMTPDataError) as refused:
                send(*address(server), "X-Spam-Flag: YES\n\nBuy")
    assert refused.value.smtp_code == 550
    assert len(taken) == 1
    assert b"Hello" in taken[0]


def test_limits() -> None:
    recipe = run("Limits")
    with serving(recipe["Limited"]) as server:
        server.connection_limit = 1
        with socket.create_connection(address(server), timeout=PATIENCE) as first:
            assert first.recv(1000).startswith(b"220 ")
            with socket.create_connection(address(server), timeout=PATIENCE) as second:
                assert second.recv(1000).startswith(b"421 ")


def test_the_limit_on_size(tmp_path: Path) -> None:
    with program_running(program("Limits"), tmp_path) as server:
        with smtplib.SMTP(server.host, server.port, timeout=PATIENCE) as client:
            client.ehlo()
            assert client.esmtp_features["size"] == "10000000"


@pytest.mark.skipif(
    not os.path.exists(f"/proc/self/task/{os.getpid()}/children"),
    reason="needs /proc to see a process's children",
)
def test_all_cores(tmp_path: Path) -> None:
    """Each process takes mail while the other one is stopped."""
    two = "import os\nos.cpu_count = lambda: 2\n" + program("All cores")
    with program_running(two, tmp_path) as server:
        parent = server.process.pid
        [child] = children(parent)
        for stopped, takes_it in ((parent, child), (child, parent)):
            os.kill(stopped, signal.SIGSTOP)
            try:
                send(server.host, server.port)
            finally:
                os.kill(stopped, signal.SIGCONT)
            server.seen_after(f"{takes_it} a@example.org ['b@example.com']\n")
        ended = server.stop()
        assert (ended.status, ended.stderr) == (0, "")
        assert not os.path.exists(f"/proc/{child}")


def test_ipv6(tmp_path: Path) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with program_running(program("IPv6"), tmp_path, host="::1") as server:
        send(server.host, server.port)
        assert "b'Hello'" in server.seen_after("END MESSAGE")
    with command_running(
        command("recipes.md", "DebuggingServer \"[::1]"), tmp_path, host="::1"
    ) as server:
        send(server.host, server.port)
        assert "b'Hello'" in server.seen_after("END MESSAGE")


@pytest.mark.parametrize(
    "name", ["readable.Readable", "keep.Maildir", "filter.Filter", "limited.Limited"]
)
def test_the_command_line_runs_the_class(name: str, tmp_path: Path) -> None:
    line = command("recipes.md", f"-c {name} ")
    with command_running(line, tmp_path) as server:
        assert server.stop() == (0, "", "")


# AUTH and STARTTLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the certificate that the page makes."""
    folder = tmp_path_factory.mktemp("certificates")
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    line = command("recipes.md", "openssl req ")
    subprocess.run(line, shell=True, check=True, cwd=folder, capture_output=True)
    return folder


@pytest.fixture
def secure(certificates: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(certificates)
    with serving(run("AUTH and STARTTLS")["SecureServer"]) as server:
        yield server


@pytest.fixture
def trust(certificates: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificates / "localhost.crt"))


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_mail_needs_tls_and_a_password(
    secure: Any, trust: ssl.SSLContext, capsys: pytest.CaptureFixture[str]
) -> None:
    with smtplib.SMTP("localhost", address(secure)[1], timeout=PATIENCE) as client:
        with pytest.raises(smtplib.SMTPSenderRefused) as refused:
            client.sendmail("a@example.org", ["b@example.com"], MESSAGE)
        assert refused.value.smtp_code == 530
        client.starttls(context=trust)
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login("ann", "wrong")
        for nobody in ("\0nobody\0", "\0ann\0", "\0ann\0p\xe9", "ann", ""):
            initial = coded(nobody) or "="
            assert client.docmd("AUTH", "PLAIN " + initial)[0] == 535, nobody
        assert client.docmd("AUTH", "PLAIN not:base64")[0] == 501
        assert client.docmd("AUTH", "CRAM-MD5")[0] == 504
        client.login("ann", "correct horse")
        assert client.docmd("AUTH", "PLAIN " + initial)[0] == 503
        client.sendmail("a@example.org", ["b@example.com"], MESSAGE)
    assert "b@example.com" in capsys.readouterr().out


@pytest.mark.parametrize("initial", [" " + coded("ann"), ""])
def test_auth_login(secure: Any, trust: ssl.SSLContext, initial: str) -> None:
    with smtplib.SMTP("localhost", address(secure)[1], timeout=PATIENCE) as client:
        client.starttls(context=trust)
        client.ehlo()
        assert client.esmtp_features["auth"].split() == ["PLAIN", "LOGIN"]
        codes = {"*": 501, coded("x"): 535, coded("correct horse"): 235}
        for password, code in codes.items():
            reply = client.docmd("AUTH", "LOGIN" + initial)
            if not initial:
                assert reply == (334, coded("Username:").encode())
                reply = client.docmd(coded("ann"))
            assert reply == (334, coded("Password:").encode())
            assert client.docmd(password)[0] == code
            # And the next line is a command again.
            assert client.noop()[0] == 250


@pytest.mark.parametrize(
    "arguments, code",
    [
        ("FROM:<a@example.org> AUTH=<>", 250),
        ("FROM:<a@example.org> SIZE=10 auth=b+40example.org BODY=8BITMIME", 250),
        ("FROM:<>", 250),
        ("FROM:<a@example.org> AUTHOR=b", 555),
        ("", 501),
    ],
)
def test_mail_takes_the_parameter_auth(
    secure: Any, trust: ssl.SSLContext, arguments: str, code: int
) -> None:
    with smtplib.SMTP("localhost", address(secure)[1], timeout=PATIENCE) as client:
        client.starttls(context=trust)
        client.login("ann", "correct horse")
        assert client.docmd("MAIL", arguments)[0] == code


def test_nothing_said_before_tls_counts(secure: Any, trust: ssl.SSLContext) -> None:
    with socket.create_connection(address(secure), timeout=PATIENCE) as plain:
        plain.recv(1000)
        plain.sendall(b"EHLO x\r\nSTARTTLS\r\nNOOP injected\r\n")
        heard = b""
        while b"220 Ready" not in heard:
            heard += plain.recv(1000)
        with trust.wrap_socket(plain, server_hostname="localhost") as tls:
            initial = coded("\0ann\0correct horse")
            tls.sendall(f"AUTH PLAIN {initial}\r\n".encode())
            assert tls.recv(1000) == b"503 Bad sequence of commands\r\n"


def test_a_client_that_does_not_read_over_tls_gets_all_replies_later(
    secure: Any, trust: ssl.SSLContext
) -> None:
    secure.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    client = socket.socket()
    client.settimeout(PATIENCE)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    with client:
        client.connect(address(secure))
        client.recv(1000)
        client.sendall(b"STARTTLS\r\n")
        assert client.recv(1000).startswith(b"220 ")
        with trust.wrap_socket(client, server_hostname="localhost") as tls:
            tls.sendall(b"VRFY a@example.org\r\n" * 5000 + b"QUIT\r\n")
            with tls.makefile("rb") as replies:
                codes = [line[:3] for line in replies]
    assert codes == [b"252"] * 5000 + [b"221"]


@pytest.mark.parametrize("said", [b"", b"EHLO this is no TLS\r\n"])
def test_a_client_that_does_not_finish_the_handshake_keeps_nobody_waiting(
    secure: Any, trust: ssl.SSLContext, said: bytes
) -> None:
    with socket.create_connection(address(secure), timeout=PATIENCE) as slow:
        slow.recv(1000)
        slow.sendall(b"STARTTLS\r\n")
        assert slow.recv(1000).startswith(b"220 ")
        slow.sendall(said)
        with smtplib.SMTP("localhost", address(secure)[1], timeout=PATIENCE) as client:
            client.starttls(context=trust)
            assert client.noop()[0] == 250
        if said:
            with contextlib.suppress(ConnectionResetError):  # as good as an end
                while slow.recv(1000):  # an alert of TLS
                    pass


def test_curl_logs_in_and_sends(
    certificates: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    for name in ("localhost.pem", "localhost.crt"):
        shutil.copy(certificates / name, tmp_path)
    client = command("recipes.md", "printf ")
    server_line = command("recipes.md", "-c secure.SecureServer ")
    with command_running(server_line, tmp_path) as server:
        _send_by(client, server, tmp_path)
        ended = server.stop()
    assert ended.stdout == "mail from ann@example.org to ['bob@example.com']\n"
    with program_running(program("AUTH and STARTTLS"), tmp_path) as server:
        _send_by(client + " --mail-auth ann@example.org", server, tmp_path)
        server.seen_after("mail from ann@example.org to ['bob@example.com']\n")


def _send_by(line: str, server: Server, folder: Path) -> None:
    line = on_port(line, server.port)
    subprocess.run(line, shell=True, check=True, cwd=folder, timeout=PATIENCE)


# What the pages hold


def test_each_program_of_the_pages_is_run_by_a_test() -> None:
    tests = "".join(
        path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.py")
    )
    found = [b for b in blocks() if b.language == "python"]
    # tests/test_kept_as_it_is.py reads that page by itself.
    found = [b for b in found if b.page.name != "kept-as-it-is.md"]
    assert len(found) > 12
    for b in found:
        assert f'"{b.heading}"' in tests, b.heading
