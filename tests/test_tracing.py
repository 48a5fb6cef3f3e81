"""The debug stream, and the log."""

from __future__ import annotations

import io

import pytest

import smtpd_compat
from smtpd_compat import _tracing
from tests.support.conversing import FAILED, MESSAGE, OK
from tests.support.keeping import Server
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
    _tracing.trace("before", "\u4e00")
    _tracing.trace(["plain"], 5)
    stream.seek(0)
    assert stream.read() == f"{shown}\nbefore {shown.split()[1]}\n['plain'] 5\n"


def test_a_stream_that_fails_may_be_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(smtpd_compat, "DEBUGSTREAM", closed)
    _tracing.trace_if_possible("said")
    with pytest.raises(ValueError, match="closed"):
        _tracing.trace("said")


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
    assert type(error).__name__ in log.text
