"""The debug stream, and the log."""

from __future__ import annotations

import errno
import io
import sys

import pytest

import smtpd_compat
from smtpd_compat import _tracing
from tests.support.conversing import FAILED, MESSAGE, OK
from tests.support.keeping import Server
from tests.support.loops import LOOPS
from tests.support.serving import serving
from tests.support.talking import connected

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


# The debug stream


def test_the_conversation_is_traced_as_the_original_traces_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trace = io.StringIO()
    monkeypatch.setattr(smtpd_compat, "DEBUGSTREAM", trace)
    with serving(Server) as server, connected(server) as client:
        where = client.socket.getsockname()
        client.send(b"HELO x\r\n" + MESSAGE)
        client.replies(5)
    lines = trace.getvalue().splitlines()
    assert lines[3:] == [
        f"Incoming connection from {where!r}",
        f"Peer: {where!r}",
        "Data: b'HELO x'",
        "Data: b'MAIL FROM:<a@b>'",
        "===> MAIL FROM:<a@b>",
        "sender: a@b",
        "Data: b'RCPT TO:<c@d>'",
        "===> RCPT TO:<c@d>",
        "recips: ['c@d']",
        "Data: b'DATA'",
        "Data: b'hello'",
    ]
    assert len(server.messages) == 1


@pytest.mark.parametrize("settings", [{}, {"decode_data": True}])
@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_who_looks_on_does_not_change_the_conversation(
    encoding: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log file's encoding may lack what a client sends."""
    trace = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    session = (
        "EHLO \xfc\r\nMAIL FROM:<\xfc\u4e00@b>\r\nRCPT TO:<\U0001f600@d>\r\n"
        "VRFY \u4e00\r\n\u4e00\r\nMAIL FROM:<\u4e00\r\nDATA\r\n\u4e00\r\n.\r\nQUIT\r\n"
    ).encode()
    heard = []
    for stream in (smtpd_compat.DEBUGSTREAM, trace):
        monkeypatch.setattr(smtpd_compat, "DEBUGSTREAM", stream)
        with serving(Server, **settings) as server, connected(server) as client:
            client.send(session)
            heard.append(client.rest())
        assert server.errors == []
        assert [message.rcpttos for message in server.messages] == [["\U0001f600@d"]]
    assert heard[0] == heard[1]
    trace.seek(0)
    assert "recips: ['" in trace.read()


@pytest.mark.parametrize(
    "encoding, shown",
    [
        ("ascii", "\\xfc \\u4e00"),
        ("latin-1", "\\xfc \\u4e00"),
        ("utf-8", "\xfc \u4e00"),
    ],
)
def test_what_a_stream_has_no_characters_for_is_shown_with_escapes(
    encoding: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
    monkeypatch.setattr(smtpd_compat, "DEBUGSTREAM", stream)
    _tracing.trace("\xfc \u4e00")
    _tracing.trace("before", "\u4e00", "after")
    _tracing.trace(["plain"], 5)
    stream.seek(0)
    assert stream.read() == f"{shown}\nbefore {shown.split()[1]} after\n['plain'] 5\n"


def test_nothing_is_traced_unless_somebody_assigned_a_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not _tracing.tracing()
    monkeypatch.setattr(smtpd_compat, "DEBUGSTREAM", io.StringIO())
    assert _tracing.tracing()


# The log


@pytest.mark.parametrize("threads", [0, 1])
def test_a_handlers_failure_is_logged_as_asyncore_logs_it(
    threads: int, capsys: pytest.CaptureFixture[str]
) -> None:
    class Fails(smtpd_compat.SMTPServer):
        worker_threads = threads

        def process_message(self, *args: Any, **kwargs: Any) -> None:
            raise ValueError("no")

    with serving(Fails) as server, connected(server) as client:
        client.send(b"HELO x\r\n" + MESSAGE)
        assert client.replies(5)[-1] == FAILED
    logged = capsys.readouterr().out
    assert logged.startswith("error: uncaptured python exception, keeping channel <")
    assert "(<class 'ValueError'>:no [" in logged
    assert "|process_message|" in logged


class _NoText(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("error", [_NoText(), ValueError("\udcff\xfc")])
def test_a_failure_that_cannot_be_logged_as_it_is_does_no_harm(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fails(smtpd_compat.SMTPServer):
        def process_message(self, *args: Any, **kwargs: Any) -> None:
            raise error

    class AsciiOnly:
        text = ""

        def write(self, text: str) -> None:
            text.encode("ascii")
            self.text += text

        def flush(self) -> None:
            pass

    log = AsciiOnly()
    monkeypatch.setattr("sys.stdout", log)
    with serving(Fails) as server, connected(server) as client:
        client.send(b"HELO x\r\n" + MESSAGE)
        assert client.replies(5)[-1] == FAILED
        assert client.say(b"NOOP") == OK
    assert log.text.startswith("error: uncaptured python exception, keeping channel ")
    assert type(error).__name__ in log.text


# What cannot be written


class _Full(io.StringIO):
    """A stream on a disk that is full."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


class _Strange(io.StringIO):
    """A user's own stream, with a mistake."""

    def write(self, text: str) -> int:
        raise KeyError(text)


def _closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


BROKEN = pytest.mark.parametrize(
    "broken", [_Full, _Strange, _closed], ids=["full", "strange", "closed"]
)


class _Fails(smtpd_compat.SMTPServer):
    def process_message(self, *args: Any, **kwargs: Any) -> None:
        raise ValueError("no")


@LOOPS
@BROKEN
def test_what_cannot_be_traced_or_logged_is_dropped(
    broken: Any, loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtpd_compat, "DEBUGSTREAM", broken())
    monkeypatch.setattr(sys, "stdout", broken())
    monkeypatch.setattr(sys, "stderr", broken())
    with serving(_Fails, loop=loop) as server:
        for _ in range(2):
            with connected(server) as client:
                client.send(b"HELO x\r\n" + MESSAGE)
                assert client.replies(5)[-1] == FAILED
                assert client.say(b"NOOP") == OK


@LOOPS
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_server_without_output_serves(
    stream: str, loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As pythonw and daemons have none."""
    monkeypatch.setattr(smtpd_compat, "DEBUGSTREAM", None)
    monkeypatch.setattr(sys, stream, None)
    with serving(_Fails, loop=loop) as server, connected(server) as client:
        client.send(b"HELO x\r\n" + MESSAGE)
        assert client.replies(5)[-1] == FAILED
        assert client.say(b"NOOP") == OK


@LOOPS
@pytest.mark.parametrize("error", [OSError("full"), KeyError("mine"), GeneratorExit()])
def test_a_log_of_ones_own_that_raises_does_not_end_the_server(
    error: BaseException, loop: Any
) -> None:
    class Channel(smtpd_compat.SMTPChannel):
        def log_info(self, message: str, type: str = "info") -> None:
            raise error

    class Logs(_Fails):
        channel_class = Channel
        errors: tuple[str, ...] = ()

        def log_info(self, message: str, type: str = "info") -> None:
            self.errors += (type,)
            raise error

        def handle_accepted(self, conn: Any, addr: Any) -> None:
            super().handle_accepted(conn, addr)
            if not self.errors:
                raise ValueError("once")

    with serving(Logs, loop=loop) as server:
        for _ in range(2):
            with connected(server) as client:
                client.send(b"HELO x\r\n" + MESSAGE)
                assert client.replies(5)[-1] == FAILED
                assert client.say(b"NOOP") == OK
    assert server.errors == ("error",)


def test_a_connection_that_fails_is_closed_though_its_log_raises() -> None:
    """asyncore logs first, and closes then."""

    class Channel(smtpd_compat.SMTPChannel):
        def log_info(self, message: str, type: str = "info") -> None:
            raise KeyError("mine")

        def send(self, data: bytes) -> int:
            if data.startswith(b"250"):
                raise OSError(errno.EIO, "a cable was pulled")
            return super().send(data)

    class Serves(Server):
        channel_class = Channel

    with serving(Serves) as server:
        for _ in range(2):
            with connected(server) as client:
                client.send(b"HELO x\r\n")
                assert client.rest() == b""


@pytest.mark.parametrize("log", ["log", "log_info"])
@BROKEN
def test_what_a_handler_logs_costs_no_mail(
    broken: Any, log: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Logs(Server):
        def process_message(self, *args: Any, **kwargs: Any) -> Any:
            getattr(self, log)("a line")
            return super().process_message(*args, **kwargs)

        log_info = smtpd_compat.SMTPServer.log_info

    monkeypatch.setattr(sys, "stdout", broken())
    monkeypatch.setattr(sys, "stderr", broken())
    with serving(Logs) as server, connected(server) as client:
        client.send(b"HELO x\r\n" + MESSAGE)
        assert client.replies(5)[-1] == OK
    assert len(server.messages) == 1


def test_exitnow_of_a_log_leaves_the_loop() -> None:
    class Leaves(smtpd_compat.SMTPServer):
        def log_info(self, message: str, type: str = "info") -> None:
            raise smtpd_compat.asyncore.ExitNow("enough")

    server = Leaves(("127.0.0.1", 0), None, map={})
    try:
        raise ValueError("no")
    except ValueError:
        with pytest.raises(smtpd_compat.asyncore.ExitNow):
            server.handle_error()
    server.close()


def test_a_line_of_a_programs_own_is_logged_as_asyncore_logs_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Logs(smtpd_compat.SMTPServer):
        pass

    server = Logs(("127.0.0.1", 0), None, map={})
    try:
        server.log("said")
        server.log_info("noted")
        server.log_info("seen", "error")
        server.log_info("hidden", "warning")
    finally:
        server.close()
    captured = capsys.readouterr()
    assert captured.err == "log: said\n"
    assert captured.out == "info: noted\nerror: seen\n"
