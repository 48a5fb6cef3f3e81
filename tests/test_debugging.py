"""DebuggingServer: what it prints."""

from __future__ import annotations

import errno
import io
import smtplib
import socket
import sys
from typing import Any
from unittest import mock

import pytest

import smtpd_compat
from tests.support.conversing import FAILED, MESSAGE, OK
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


@pytest.mark.parametrize(
    "text",
    [
        *("'", "''\n'", "\\", "\\\\\n\\'", '"', "\"'", "\t", "a'b\nc\"d'"),
        *(" ", "~", "\x1f", "\x7f", "\0", "\x80", "\xff"),
    ],
)
def test_quotes_and_backslashes_are_printed_as_in_a_repr(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A message without a header, of nothing else."""
    lines = [repr(line.encode()) for line in text.split("\n")]
    assert printed(capsys, text) == lines
    assert printed(capsys, "\n" + text)[2:] == lines


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


def test_options_of_recipients_are_printed_before_an_empty_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A subclass's channel may have some."""
    server = smtpd_compat.DebuggingServer(("127.0.0.1", 0), None, map={})
    options = {"mail_options": ["SIZE=1"], "rcpt_options": ["NOTIFY=NEVER"]}
    server.process_message(("192.0.2.1", 25), "a@b", ["c@d"], b"x\n", **options)
    server.close()
    assert capsys.readouterr().out.split("\n") == [
        FOLLOWS,
        "mail options: ['SIZE=1']",
        "rcpt options: ['NOTIFY=NEVER']",
        "",
        "b'x'",
        END,
        "",
    ]


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


# Written at once, or refused


class Raw(io.RawIOBase):
    """What a stream writes to; it keeps each piece, and fails when told to."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.error: OSError | None = None

    def writable(self) -> bool:
        return True

    def write(self, piece: Any) -> int:
        if self.error is not None:
            raise self.error
        self.pieces.append(bytes(piece))
        return len(piece)


def raw_output(monkeypatch: pytest.MonkeyPatch) -> Raw:
    """Where standard output ends up; buffered, as where it is a file or a pipe."""
    raw = Raw()
    stream = io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8", newline="\n")
    monkeypatch.setattr("sys.stdout", stream)
    return raw


def shown(message: bytes) -> bytes:
    """What the original prints, line by line."""
    lines = [FOLLOWS]
    in_header = True
    for line in message.splitlines():
        if in_header and not line:
            in_header = False
            lines.append("b'X-Peer: 192.0.2.1'")
        lines.append(repr(line))
    return "".join(line + "\n" for line in (*lines, END)).encode()


@pytest.mark.parametrize("settings", [{}, {"mail_options": ["SIZE=1"]}])
@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"A: b\n\nc",
        b"A: b\n\n"
        + b"Sixty characters, and a line's end, and 'quotes' and so on.\n" * 50000,
        b"A: b\n\n" + b"\x00\t \\n \xff\n" * 50000,
        b"A: b\r\rB: c\r\n" * 20000,
    ],
    ids=["empty", "short", "long", "binary", "bare CR"],
)
def test_a_message_is_one_write_of_the_same_octets(
    message: bytes, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = raw_output(monkeypatch)
    server = smtpd_compat.DebuggingServer(("127.0.0.1", 0), None, map={})
    server.process_message(("192.0.2.1", 1), "a@b", ["c@d"], message, **settings)
    server.close()
    expected = shown(message)
    if settings:
        follows = f"{FOLLOWS}\n".encode()
        expected = expected.replace(follows, follows + b"mail options: ['SIZE=1']\n")
    assert raw.pieces == [expected]


def test_a_bulky_message_is_the_same_octets(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = raw_output(monkeypatch)
    message = b"A: b\n\n" + b"abc\n" * 3_000_000
    server = smtpd_compat.DebuggingServer(("127.0.0.1", 0), None, map={})
    server.process_message(("192.0.2.1", 1), "a@b", ["c@d"], message)
    server.close()
    assert b"".join(raw.pieces) == shown(message)
    # In parts, which take less memory than the whole.
    assert 1 < len(raw.pieces) < 5


def test_an_overridden_print_message_content_is_called_between_the_rules(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raw = raw_output(monkeypatch)

    class Shouts(smtpd_compat.DebuggingServer):
        def _print_message_content(self, peer: Any, data: Any) -> None:
            print("before", peer)
            super()._print_message_content(peer, data.upper())
            print("after")

    class Patched(smtpd_compat.DebuggingServer):
        pass

    for server_class in (Shouts, Patched):
        server = server_class(("127.0.0.1", 0), None, map={})
        if server_class is Patched:
            server._print_message_content = lambda peer, data: print(data)  # type: ignore
        server.process_message(("h", 1), "a@b", ["c@d"], b"a\n\nb")
        server.close()
    assert b"".join(raw.pieces).decode().splitlines() == [
        *(FOLLOWS, "before ('h', 1)", "b'A'", "b'X-Peer: h'", "b''", "b'B'", "after"),
        *(END, FOLLOWS, "b'a\\n\\nb'", END),
    ]


@pytest.mark.parametrize("code", [errno.EIO, errno.EPIPE, errno.ENOSPC])
def test_a_message_that_cannot_be_printed_is_refused(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = raw_output(monkeypatch)
    with serving(smtpd_compat.DebuggingServer) as server, connected(server) as client:
        client.send(b"HELO x\r\n")
        client.reply()
        raw.error = OSError(code, "no")
        for _ in range(2):
            client.send(MESSAGE)
            assert client.replies(4)[-1] == FAILED
        raw.error = None
        client.send(MESSAGE)
        assert client.replies(4)[-1] == OK
    assert raw.pieces[-1].endswith(f"b'hello'\n{END}\n".encode())


def test_where_there_is_no_output_a_message_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As the original takes it."""
    monkeypatch.setattr("sys.stdout", None)
    with serving(smtpd_compat.DebuggingServer) as server, connected(server) as client:
        client.send(b"HELO x\r\n" + MESSAGE)
        assert client.replies(5)[-1] == OK


def test_a_standard_output_that_can_do_no_more_than_write_will_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Writes:
        text = ""

        def write(self, text: str) -> None:
            self.text += text

    monkeypatch.setattr("sys.stdout", Writes())
    server = smtpd_compat.DebuggingServer(("127.0.0.1", 0), None, map={})
    server.process_message(("192.0.2.1", 1), "a@b", ["c@d"], b"x")
    server.close()
    assert sys.stdout.text == f"{FOLLOWS}\nb'x'\n{END}\n"  # type: ignore
