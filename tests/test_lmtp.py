"""The LMTP client: a reply for every recipient, whatever the server does."""

from __future__ import annotations

import contextlib
import smtplib
from collections.abc import Iterator
from typing import Any

import pytest

from smtpd_compat._relays._lmtp import Transaction
from smtpd_compat._relays._replies import NO_REPLY
from tests.support.upstream import (
    CLOSE,
    SILENT,
    Refusing,
    Upstream,
    nobody_listening,
    upstream,
)

PATIENCE = 60
A, B, C = "a@x", "b@x", "c@x"
DATA = b"A: 1\n\n.dot\n"


@contextlib.contextmanager
def lmtp(script: Any = None, **kwargs: Any) -> Iterator[Upstream]:
    with upstream(script, lmtp=True, **kwargs) as server:
        yield server


@contextlib.contextmanager
def transaction(server: Upstream, timeout: float = PATIENCE) -> Iterator[Transaction]:
    with contextlib.closing(Transaction(*server.address, timeout)) as client:
        yield client


def deliver(server: Upstream, *rcpttos: str, timeout: float = PATIENCE) -> list[Any]:
    """Offer all recipients, send the message; the replies after the data."""
    with transaction(server, timeout) as client:
        client.begin("from@x", rcpttos, DATA)
        for to in rcpttos:
            client.offer(to)
        return client.send()


def test_every_recipient_has_a_reply_of_its_own() -> None:
    with lmtp({"end of data": ["250 taken", "550 gone", "452 full"]}) as server:
        replies = deliver(server, A, B, C)
        assert [message.rcpttos for message in server.messages] == [[A]]
    assert replies == [(250, b"taken"), (550, b"gone"), (452, b"full")]


def test_replies_belong_to_the_recipients_that_were_accepted() -> None:
    with lmtp({"RCPT": Refusing(b="550 unknown")}) as server:
        with transaction(server) as client:
            client.begin("from@x", [A, B, C], DATA)
            assert client.offer(A) == (250, b"OK")
            assert client.offer(B) == (550, b"unknown")
            assert client.offer(C) == (250, b"OK")
            assert client.send() == [(250, b"taken for a@x"), (250, b"taken for c@x")]


@pytest.mark.parametrize("reply", ["501 defects", "250 taken", "451 trouble"])
def test_one_reply_for_all_recipients_holds_for_each(reply: str) -> None:
    with lmtp({"end of data": reply}) as server:
        expected = (int(reply[:3]), reply[4:].encode())
        assert deliver(server, A, B, C) == [expected] * 3


@pytest.mark.parametrize("ending", [CLOSE, SILENT])
def test_a_server_that_breaks_off_leaves_the_rest_unknown(ending: str) -> None:
    timeout = 0.2 if ending == SILENT else PATIENCE
    for said in ([], ["250 taken"], ["250 taken", "550-no\r\n550 gone"]):
        with lmtp({"end of data": [*said, ending]}) as server:
            replies = deliver(server, A, B, C, timeout=timeout)
        known = [(250, b"taken"), (550, b"no\ngone")][: len(said)]
        assert replies == known + [NO_REPLY] * (3 - len(said))


def test_a_server_that_shuts_down_between_replies_leaves_the_rest_unknown() -> None:
    with lmtp({"end of data": ["250 taken", "421 bye", CLOSE]}) as server:
        replies = deliver(server, A, B, C)
    assert replies == [(250, b"taken"), (421, b"bye"), NO_REPLY]


def test_data_that_is_refused_is_refused_for_all() -> None:
    with lmtp({"DATA": "554 no"}) as server:
        assert deliver(server, A, B) == [(554, b"no")] * 2


@pytest.mark.parametrize("ending", [CLOSE, SILENT])
def test_no_answer_to_data_is_no_reply_for_all(ending: str) -> None:
    with lmtp({"DATA": ending}) as server:
        replies = deliver(server, A, B, timeout=0.2 if ending == SILENT else PATIENCE)
    assert replies == [NO_REPLY] * 2


def test_nobody_accepted_sends_nothing() -> None:
    with lmtp({"RCPT": "550 unknown"}) as server:
        assert deliver(server, A, B) == []
        assert "DATA" not in server.verbs()
        assert server.verbs()[-1] == "QUIT"


def test_a_transaction_that_is_given_up_sends_nothing() -> None:
    with lmtp() as server:
        with transaction(server) as client:
            client.begin("from@x", [A], DATA)
            client.offer(A)
        assert server.verbs() == ["LHLO", "MAIL", "RCPT", "QUIT"]
        assert server.messages == []


def test_the_message_has_crlf_line_ends_and_stuffed_dots() -> None:
    with lmtp() as server:
        deliver(server, A)
        assert server.messages[0].wire == b"A: 1\r\n\r\n..dot\r\n"


def test_parameters_of_mail_are_sent_as_far_as_they_are_needed_and_offered() -> None:
    for extensions, data, rcpttos, expected in (
        (("8BITMIME",), b"A", [A], "<>"),
        (("8BITMIME",), b"\xff", [A], "<> BODY=8BITMIME"),
        ((), b"\xff", [A], "<>"),
        (("SMTPUTF8",), b"A", ["ü@x"], "<> SMTPUTF8"),
    ):
        with lmtp(extensions=extensions) as server:
            with transaction(server) as client:
                client.begin("<>", rcpttos, data)
                client.offer(rcpttos[0])
                client.send()
            assert server.messages[0].mailfrom == expected
            assert server.messages[0].rcpttos == rcpttos


def test_recipients_that_cannot_be_said_are_refused_and_not_sent() -> None:
    with lmtp() as server:
        with transaction(server) as client:
            client.begin("from@x", [A], DATA)
            assert client.offer("ü@x")[0] == 553
            assert client.offer("a\r\nDATA@x")[0] == 553
        assert "RCPT" not in server.verbs()


@pytest.mark.parametrize("mailfrom", ["ü@x", "a\nDATA@x"])
def test_a_sender_that_cannot_be_said_is_refused(mailfrom: str) -> None:
    with lmtp() as server, transaction(server) as client:
        with pytest.raises(smtplib.SMTPSenderRefused) as caught:
            client.begin(mailfrom, [A], DATA)
    assert caught.value.smtp_code == 553


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ({"greeting": "554 no"}, smtplib.SMTPConnectError),
        ({"EHLO": "500 no"}, smtplib.SMTPHeloError),
        ({"MAIL": "550 no"}, smtplib.SMTPSenderRefused),
        ({"greeting": CLOSE}, smtplib.SMTPServerDisconnected),
        ({"EHLO": CLOSE}, smtplib.SMTPServerDisconnected),
        ({"MAIL": CLOSE}, smtplib.SMTPServerDisconnected),
    ],
)
def test_a_server_that_does_not_begin_raises(
    script: Any, error: type[smtplib.SMTPException]
) -> None:
    with lmtp(script) as server, transaction(server) as client:
        with pytest.raises(error):
            client.begin("from@x", [A], DATA)


def test_a_server_that_leaves_at_a_recipient_raises() -> None:
    with lmtp({"RCPT": CLOSE}) as server, transaction(server) as client:
        client.begin("from@x", [A], DATA)
        with pytest.raises(smtplib.SMTPServerDisconnected):
            client.offer(A)


def test_a_server_that_is_not_there_raises() -> None:
    with nobody_listening() as nowhere:
        client = Transaction(*nowhere, PATIENCE)
        with pytest.raises(ConnectionRefusedError):
            client.begin("from@x", [A], DATA)
        client.close()
