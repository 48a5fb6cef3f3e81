"""Each recipe does what the README says it does."""

from __future__ import annotations

import base64
import os
import shutil
import smtplib
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import smtpd_compat
from tests.recipes.readme import README, program
from tests.support.serving import address, serving

pytestmark = pytest.mark.skipif(
    not README.exists(), reason="README.md is not beside the tests"
)


def run(heading: str) -> dict[str, Any]:
    """Run a recipe, and give back what it defined."""
    namespace: dict[str, Any] = {"__name__": "recipe"}
    exec(compile(program(heading), f"README.md: {heading}", "exec"), namespace)
    return namespace


def send(server: Any, message: str = "Subject: Hi\n\nHello") -> None:
    with smtplib.SMTP(*address(server), timeout=10) as client:
        client.sendmail("a@example.org", ["b@example.com"], message)


def test_the_program_that_the_readme_begins_with(
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe = run("In a program")
    with serving(recipe["MyServer"]) as server:
        send(server)
    assert "b@example.com" in capsys.readouterr().out


def test_catch_mail_in_a_pytest_fixture(tmp_path: Path) -> None:
    (tmp_path / "test_signup.py").write_text(program("Catch mail in a pytest fixture"))
    root = str(Path(smtpd_compat.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": root},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    assert "1 passed" in done.stdout, done.stdout


def test_run_a_server_in_a_thread_and_stop_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run("Run a server in a thread, and stop it")
    assert "b'Hello'" in capsys.readouterr().out


def test_filter_mail_on_its_way() -> None:
    recipe = run("Filter mail on its way")
    taken = []

    class Upstream(smtpd_compat.SMTPServer):
        def process_message(self, *args: Any, **kwargs: Any) -> None:
            taken.append(args[3])

    with serving(Upstream) as upstream:
        with serving(recipe["Filter"], address(upstream)) as server:
            send(server)
            with pytest.raises(smtplib.SMTPDataError) as refused:
                send(server, "X-Spam-Flag: YES\n\nBuy")
    assert refused.value.smtp_code == 550
    assert len(taken) == 1
    assert b"Hello" in taken[0]


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for localhost, and its key, in one file."""
    made = tmp_path / "localhost.pem"
    try:
        subprocess.run(
            "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
            " -addext subjectAltName=DNS:localhost".split()
            + ["-keyout", str(made), "-out", str(tmp_path / "public.pem")],
            check=True,
            capture_output=True,
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("openssl, which makes the certificate, is not installed")
    with made.open("ab") as both:
        both.write((tmp_path / "public.pem").read_bytes())
    return made


@pytest.fixture
def secure(certificate: Path) -> Any:
    recipe = run("AUTH and STARTTLS by subclassing")
    with serving(recipe["SecureServer"], certfile=str(certificate)) as server:
        yield server


def trust(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))


def test_mail_needs_tls_and_a_password(
    secure: Any, certificate: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with smtplib.SMTP("localhost", address(secure)[1], timeout=10) as client:
        with pytest.raises(smtplib.SMTPSenderRefused) as refused:
            client.sendmail("a@example.org", ["b@example.com"], "Subject: Hi\n\nHello")
        assert refused.value.smtp_code == 530
        client.starttls(context=trust(certificate))
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login("ann", "wrong")
        for nobody in ("\0nobody\0", "\0ann\0", "\0ann\0p\xe9"):
            initial = base64.b64encode(nobody.encode()).decode()
            assert client.docmd("AUTH", "PLAIN " + initial)[0] == 535
        assert client.docmd("AUTH", "PLAIN not:base64")[0] == 501
        assert client.docmd("AUTH", "LOGIN")[0] == 504
        client.login("ann", "correct horse")
        assert client.docmd("AUTH", "PLAIN " + initial)[0] == 503
        client.sendmail("a@example.org", ["b@example.com"], "Subject: Hi\n\nHello")
    assert "b@example.com" in capsys.readouterr().out


def test_nothing_said_before_tls_counts(secure: Any, certificate: Path) -> None:
    with socket.create_connection(address(secure), timeout=10) as plain:
        plain.recv(1000)
        plain.sendall(b"EHLO x\r\nSTARTTLS\r\nNOOP injected\r\n")
        heard = b""
        while b"220 Ready" not in heard:
            heard += plain.recv(1000)
        with trust(certificate).wrap_socket(plain, server_hostname="localhost") as tls:
            initial = base64.b64encode(b"\0ann\0correct horse")
            tls.sendall(b"AUTH PLAIN " + initial + b"\r\n")
            assert tls.recv(1000) == b"503 Bad sequence of commands\r\n"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_logs_in_with_a_response_that_comes_after_the_command(
    secure: Any, certificate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mail = tmp_path / "mail"
    mail.write_text("Subject: Hi\n\nHello\n")
    subprocess.run(
        ["curl", "--silent", "--show-error", "--ssl-reqd", "--cacert", str(certificate)]
        + ["--user", "ann:correct horse", "--mail-from", "a@example.org"]
        + ["--mail-rcpt", "b@example.com", "--upload-file", str(mail)]
        + [f"smtp://localhost:{address(secure)[1]}"],
        check=True,
        timeout=60,
    )
    assert "b@example.com" in capsys.readouterr().out


def test_ipv6(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    run("IPv6")
    assert "'::1'" in capsys.readouterr().out


def test_limits() -> None:
    recipe = run("Limits")
    recipe["server"].close()
    with serving(recipe["Limited"]) as server:
        server.connection_limit = 1
        with socket.create_connection(address(server), timeout=10) as first:
            assert first.recv(1000).startswith(b"220 ")
            with socket.create_connection(address(server), timeout=10) as second:
                assert second.recv(1000).startswith(b"421 ")
