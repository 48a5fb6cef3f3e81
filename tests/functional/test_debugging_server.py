"""The debugging server from the command line shows what real clients send."""

from __future__ import annotations

import os
import shutil
import smtplib
import socket
import subprocess
from pathlib import Path

import pytest

from tests.functional.processes import PATIENCE, Server, server_process

BEFORE = "---------- MESSAGE FOLLOWS ----------\n"
AFTER = "------------ END MESSAGE ------------\n"
MESSAGE = "Subject: hello\n\nfirst line\n.a line with a dot\nlast line\n"


def shown(host: str = "127.0.0.1", options: str = "") -> str:
    """MESSAGE as the server prints it; *options* are those of MAIL, as a list."""
    lines = MESSAGE.splitlines()
    lines.insert(1, f"X-Peer: {host}")
    content = "".join(f"{line.encode()!r}\n" for line in lines)
    return BEFORE + (f"mail options: {options}\n" if options else "") + content + AFTER


def program(name: str) -> str:
    """The path of a client; without it, the test is skipped."""
    path = os.environ.get("PATH", os.defpath) + os.pathsep + "/usr/sbin"
    found = shutil.which(name, path=path)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def send_with_smtplib(server: Server) -> None:
    with smtplib.SMTP(server.host, server.port, timeout=PATIENCE) as client:
        # Without EHLO, or else what smtplib counts as SIZE differs between versions.
        client.helo("client.example.org")
        client.sendmail("a@example.org", ["b@example.org"], MESSAGE)


def run_client(*command: str) -> None:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout


def end_quietly(server: Server) -> str:
    """Stop the server; give back everything that it printed."""
    ended = server.stop()
    assert (ended.status, ended.stderr) == (0, "")
    return ended.stdout


def test_message_from_smtplib_is_shown() -> None:
    with server_process("-n", "-c", "DebuggingServer") as server:
        send_with_smtplib(server)
        assert end_quietly(server) == shown()


def test_message_is_shown_at_once_also_into_a_pipe() -> None:
    with server_process("-n", "-c", "DebuggingServer") as server:
        send_with_smtplib(server)
        assert server.seen_after(AFTER) == shown()


def test_messages_of_one_connection_are_shown_in_their_order() -> None:
    with server_process("-n", "-c", "DebuggingServer") as server:
        with smtplib.SMTP(server.host, server.port, timeout=PATIENCE) as client:
            for number in range(3):
                client.sendmail("a@b", ["c@d"], f"Subject: {number}\n\n{number}\n")
        printed = end_quietly(server)
    subjects = [line for line in printed.splitlines() if "Subject" in line]
    assert subjects == [f"b'Subject: {number}'" for number in range(3)]


def test_message_over_ipv6_is_shown() -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 loopback")
    with server_process("-n", "-c", "DebuggingServer", host="::1") as server:
        send_with_smtplib(server)
        assert end_quietly(server) == shown("::1")


def test_message_from_swaks_is_shown() -> None:
    swaks = program("swaks")
    with server_process("-n", "-c", "DebuggingServer") as server:
        run_client(
            *(swaks, "--server", server.host, "--port", str(server.port)),
            *("--helo", "client.example.org", "--from", "a@example.org"),
            *("--to", "b@example.org,c@example.org"),
            *("--header", "Subject: sent by swaks", "--body", ".dot\nfrom swaks"),
        )
        printed = end_quietly(server)
    assert "b'Subject: sent by swaks'\n" in printed
    assert "b'.dot'\nb'from swaks'\n" in printed
    assert printed.startswith(BEFORE) and printed.endswith(AFTER)


def test_message_from_curl_is_shown(tmp_path: Path) -> None:
    curl = program("curl")
    message = tmp_path / "message"
    message.write_bytes(MESSAGE.replace("\n", "\r\n").encode())
    with server_process("-n", "-c", "DebuggingServer") as server:
        run_client(
            *(curl, "--silent", "--show-error", "--noproxy", "*"),
            *("--mail-from", "a@example.org", "--mail-rcpt", "b@example.org"),
            *("--upload-file", str(message), f"smtp://{server.host}:{server.port}/x"),
        )
        printed = end_quietly(server)
    assert printed == shown(options=f"['SIZE={len(message.read_bytes())}']")


def test_messages_from_smtp_source_are_shown() -> None:
    smtp_source = program("smtp-source")
    with server_process("-n", "-c", "DebuggingServer") as server:
        run_client(
            *(smtp_source, "-s", "4", "-m", "8", "-l", "2000", "-S", "from Postfix"),
            *("-f", "a@example.org", "-t", "b@example.org"),
            f"{server.host}:{server.port}",
        )
        printed = end_quietly(server)
    assert printed.count(BEFORE) == printed.count(AFTER) == 8
    assert printed.count("b'Subject: from Postfix'\n") == 8


def test_client_that_pipelines_its_whole_session_is_answered_and_shown() -> None:
    session = (
        "EHLO client.example.org\nMAIL FROM:<a@example.org>\nRCPT TO:<b@example.org>\n"
        "RCPT TO:<c@example.org>\nDATA\n"
        + MESSAGE.replace("\n.", "\n..")
        + ".\nNOOP\nQUIT\n"
    )
    received = b""
    with server_process("-n", "-c", "DebuggingServer") as server:
        with socket.create_connection((server.host, server.port), PATIENCE) as client:
            client.sendall(session.replace("\n", "\r\n").encode())
            while True:
                piece = client.recv(65536)
                if not piece:
                    break
                received += piece
        assert end_quietly(server) == shown()
    codes = [line[:4] for line in received.decode().splitlines()]
    ehlo = [code for code in codes if code == "250-"] + ["250 "]
    assert codes == ["220 ", *ehlo, *["250 "] * 3, "354 ", "250 ", "250 ", "221 "]
