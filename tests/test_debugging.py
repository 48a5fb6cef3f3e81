"""DebuggingServer: what it prints."""

from __future__ import annotations

import io
import smtplib
import socket
from typing import Any
from unittest import mock

import pytest

import smtpd_compat
from tests.support.serving import address, looping, serving
from tests.support.talking import Client, connected

FOLLOWS = "---------- MESSAGE FOLLOWS ----------"
END = "------------ END MESSAGE ------------"


def printed(
    capsys: pytest.CaptureFixture[str],
    message: str,
    mail_options: tuple[str, ...] = (),
    **settings: Any,
) -> list[str]:
    """What is printed for *message*, without the two rules."""
    # Without a limit smtplib sends no SIZE, which would be printed with the options.
    with serving(
        smtpd_compat.DebuggingServer, data_size_limit=None, **settings
    ) as server:
        with smtplib.SMTP(*address(server)) as client:
            wire = message.replace("\n", "\r\n").encode()
            client.sendmail("a@b", ["c@d"], wire, mail_options)
    captured = capsys.readouterr()
    lines: list[str] = captured.out.split("\n")
    assert (lines[0], lines[-2], lines[-1]) == (FOLLOWS, END, "")
    return lines[1:-2]


def test_bytes_are_printed_as_the_repr_of_each_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert printed(capsys, "Subject: x\n\nh\xe9\n.\n'\n") == [
        "b'Subject: x'",
        "b'X-Peer: 127.0.0.1'",
        "b''",
        "b'h\\xc3\\xa9'",
        "b'.'",
        'b"\'"',
    ]


def test_text_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    message = "Subject: x\n\nh\xe9\n\nend\n"
    assert printed(capsys, message, decode_data=True) == [
        "Subject: x",
        "X-Peer: 127.0.0.1",
        "",
        "h\xe9",
        "",
        "end",
    ]


def test_without_an_empty_line_no_peer_is_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert printed(capsys, "no header here") == ["b'no header here'"]


def test_options_of_mail_are_printed_first(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, "x", ("BODY=8BITMIME",))
    assert lines == ["mail options: ['BODY=8BITMIME']", "b'x'"]


def test_an_empty_message_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(smtpd_compat.DebuggingServer) as server:
        with connected(server) as client:
            client.send(b"HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<c@d>\r\nDATA\r\n.\r\n")
            assert client.replies(5)[-1] == b"250 OK\r\n"
    assert capsys.readouterr().out == f"{FOLLOWS}\n{END}\n"


@pytest.mark.parametrize("settings", [{}, {"decode_data": True}])
def test_over_a_unix_socket_there_is_no_peer_to_print(
    settings: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    near_end, far_end = socket.socketpair()
    with serving(smtpd_compat.DebuggingServer, **settings) as server, far_end:
        map: dict[int, Any] = {}
        smtpd_compat.SMTPChannel(server, near_end, "", map=map, **settings)
        with looping(map):
            client = Client.__new__(Client)
            client.socket, client._unread = far_end, b""
            far_end.settimeout(20)
            client.send(b"HELO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n")
            client.send(b"A: b\r\n\r\nc\r\n.\r\n")
            assert client.replies(6)[-1] == b"250 OK\r\n"
    lines = ["A: b", "", "c"]
    if not settings:
        lines = ["b'A: b'", "b''", "b'c'"]
    assert capsys.readouterr().out.splitlines() == [FOLLOWS, *lines, END]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_a_message_is_printed_also_where_the_terminal_lacks_its_letters(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr("sys.stdout", terminal)
    with serving(smtpd_compat.DebuggingServer, decode_data=True) as server:
        with connected(server) as client:
            client.send(b"HELO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n")
            client.send("A: \xfc\r\n\r\n\u4e00\r\n.\r\n".encode())
            assert client.replies(5)[-1] == b"250 OK\r\n"
    terminal.seek(0)
    printed = terminal.read().splitlines()
    assert (printed[0], printed[-1]) == (FOLLOWS, END)
    if encoding == "utf-8":
        assert printed[1:-1] == ["A: \xfc", "X-Peer: 127.0.0.1", "", "\u4e00"]
    else:
        assert printed[-2] == "\\u4e00"


def test_print_is_called_as_the_original_calls_it() -> None:
    server = smtpd_compat.DebuggingServer(("127.0.0.1", 0), None, map={})
    with mock.patch("builtins.print") as printed:
        server.process_message(("192.0.2.1", 1), "a@b", ["c@d"], b"A: 1\n\nx")
    server.close()
    assert printed.mock_calls == [
        mock.call("---------- MESSAGE FOLLOWS ----------"),
        mock.call("b'A: 1'"),
        mock.call("b'X-Peer: 192.0.2.1'"),
        mock.call("b''"),
        mock.call("b'x'"),
        mock.call("------------ END MESSAGE ------------"),
    ]
