"""The typed programs run, and get what their annotations say that they get."""

from __future__ import annotations

import smtplib
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

import smtpd_compat

from .support.serving import address, serving
from .typed import catcher, commands, lists, printing, relaying

MESSAGE = b"Subject: hello\r\n\r\nworld"


def send(server: Any, *recipients: str, options: Any = ()) -> tuple[int, bytes]:
    """Send MESSAGE, and return the reply to it."""
    where = getattr(server, "address", None) or address(server)
    with smtplib.SMTP(*where, timeout=20) as client:
        client.ehlo()
        client.mail("me@example.com", options)
        for recipient in recipients or ("you@example.org",):
            client.rcpt(recipient)
        return client.data(MESSAGE)


def test_a_catcher_gets_parsed_mail_and_options() -> None:
    with catcher.Catcher() as server:
        assert send(server, options=["BODY=8BITMIME"]) == (250, b"OK")
        with smtplib.SMTP(*server.address, timeout=20) as client:
            with pytest.raises(smtplib.SMTPDataError) as refused:
                client.sendmail("me", "you", b"x" * 60_000)
    assert refused.value.smtp_code == 452
    (mail,) = server.mails
    assert mail[:3] == ("me@example.com", ["you@example.org"], ["BODY=8BITMIME"])
    assert mail.message["Subject"] == "hello"
    assert mail.message.get_content() == "world"


def test_a_server_with_decode_data_gets_text() -> None:
    def subjects(localaddr: Any, remoteaddr: Any, map: Any) -> Any:
        return catcher.Subjects(localaddr, map)

    with serving(subjects) as server:
        assert send(server) == (250, b"OK")
    assert server.subjects == ["hello"]


def test_a_channel_with_commands_of_its_own_gets_what_it_expects() -> None:
    def make(localaddr: Any, remoteaddr: Any, map: Any) -> Any:
        return commands.Server(localaddr, map)

    with serving(make) as server:
        with smtplib.SMTP(*address(server), timeout=20) as client:
            assert client.ehlo("MX.example.com")[0] == 250
            assert client.mail("me@example.com")[0] == 530
            assert client.docmd("AUTH", "LOGIN")[0] == 504
            response = b64encode(b"\0me\0secret").decode()
            assert client.docmd("AUTH PLAIN", response)[0] == 235
            code, room = client.docmd("XROOM")
            assert code == 250
            assert room.splitlines()[0] == b"AUTH 4096 of 4096"
            assert room.splitlines()[-1].startswith(b"any ")
            assert client.docmd("HELP", "AUTH")[1].startswith(b"Syntax: AUTH")
            client.mail("me@example.com")
            client.rcpt("you@example.org")
            assert client.data(MESSAGE) == (250, b"Took 21 octets")
    assert server.noted == [
        "mx.example.com is 127.0.0.1",
        "530",
        "504",
        "me@example.com writes to you@example.org",
        "23 octets or more, to b'\\r\\n.\\r\\n'",
        "gone: me, None",
    ]


def test_a_debugging_server_returns_a_status_and_a_trace_takes_text(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtpd_compat, "DEBUGSTREAM", smtpd_compat.DEBUGSTREAM)
    assert printing.trace(on=False).text == ""

    def make(localaddr: Any, remoteaddr: Any, map: Any) -> Any:
        return printing.counting(map)

    trace = printing.trace(on=True)
    with serving(make) as server:
        assert send(server) == (250, b"Number 1 of yours")
    assert server.senders == {"me@example.com": 1}
    assert trace.text.startswith("python smtp proxy version")
    assert "Incoming connection" in trace.text
    assert "\nworld\n" in capsys.readouterr().out


@pytest.mark.parametrize("relay", [relaying.BySmtplib, relaying.Marks])
def test_a_relay_of_its_own_passes_mail_on(relay: Any) -> None:
    with catcher.Catcher() as upstream, serving(relay, upstream.address) as server:
        assert send(server) == (250, b"OK")
    (mail,) = upstream.mails
    assert mail.recipients == ["you@example.org"]
    assert mail.message["X-Peer"] == "127.0.0.1"
    assert mail.message["X-Relay"] == ("here" if relay is relaying.Marks else None)


def test_a_relay_that_chooses_adds_to_what_upstream_refused() -> None:
    with catcher.Catcher() as upstream:
        with serving(relaying.Chooses, upstream.address) as server:
            code, text = send(server, "you@example.org", "them@example.net")
    assert code == 554
    assert b"<them@example.net>" in text
    assert b"not here" in text
    assert [mail.recipients for mail in upstream.mails] == [["you@example.org"]]


def test_a_mailman_proxy_of_its_own_keeps_mail(tmp_path: Path) -> None:
    def make(localaddr: Any, remoteaddr: Any, **kwargs: Any) -> Any:
        return lists.Keeps(tmp_path, localaddr, remoteaddr, **kwargs)

    with serving(make, ("127.0.0.1", 1)) as server:
        assert send(server)[0] == 451
        assert lists.lmtp(server) == ("127.0.0.1", 1, 300.0)
    kept = (tmp_path / "me@example.com.eml").read_bytes()
    assert kept == b"Subject: hello\n\nworld"
