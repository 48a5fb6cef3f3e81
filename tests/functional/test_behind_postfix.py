"""The lines for Postfix in front of a filter in docs, with the recipe of a filter."""

from __future__ import annotations

import contextlib
import re
import smtplib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.functional.processes import reserved_port
from tests.functional.test_real_relays import (
    BODY,
    HOST,
    MESSAGE,
    PATIENCE,
    Postfix,
    public_directory,
    send,
)
from tests.recipes.pages import README, block, program
from tests.support.serving import serving

__all__ = ["public_directory"]  # a fixture, which pytest finds by its name here

pytestmark = [
    pytest.mark.postfix,
    pytest.mark.skipif(not README.exists(), reason="README.md is not beside the tests"),
]

SENDER = "sender.example"

#: For main.cf: a name that senders must greet with. The filter has another, and its
#: address is no network of ours, so all that it may do is what the page lets it.
FOR_SENDERS_ONLY = f"""
mynetworks = 192.0.2.0/24
is_sender = check_helo_access inline:{{ {SENDER}=OK }} reject
smtpd_client_restrictions = $is_sender
smtpd_helo_restrictions = $is_sender
smtpd_sender_restrictions = $is_sender
smtpd_relay_restrictions = $is_sender
smtpd_recipient_restrictions = $is_sender
smtpd_data_restrictions = $is_sender
smtpd_end_of_data_restrictions = $is_sender
"""


def lines_for_master(front: int, filtering: int, behind: int) -> str:
    """The lines for master.cf in docs/postfix.md, with these ports in place of its own.

    All else stays: the addresses, the options and their order.
    """
    lines = block("Behind Postfix", "")
    for its_own, port in [
        (r"^smtp(?= +inet)", front),
        (r"\b10025$", filtering),
        (r"\b10026\b", behind),
    ]:
        lines, count = re.subn(f"(?m){its_own}", str(port), lines)
        assert count == 1, f"{its_own} is {count} times in {lines}"
    return str(lines)


class Guarded:
    """A Postfix with the page's lines, and the recipe's filter to go with it."""

    def __init__(self, postfix: Postfix, filtering: int, behind: int) -> None:
        self.messages = postfix.messages
        self._postfix = postfix
        self._filter_address = (HOST, filtering)
        self._behind = (HOST, behind)

    @contextlib.contextmanager
    def filtering(self) -> Iterator[None]:
        """Run the filter for as long as the block runs."""
        recipe: dict[str, Any] = {"__name__": "recipe"}
        exec(program("A filter"), recipe)
        localaddr = self._filter_address
        with serving(recipe["Filter"], self._behind, localaddr=localaddr):
            yield

    @contextlib.contextmanager
    def client(self) -> Iterator[smtplib.SMTP]:
        """A sender who has greeted Postfix."""
        with smtplib.SMTP(HOST, self._postfix.port, timeout=PATIENCE) as client:
            client.ehlo(SENDER)
            yield client

    def is_empty(self) -> bool:
        """Whether there is no mail in any of Postfix's queues."""
        queue = self._postfix.directory / "queue"
        return not any(
            path.is_file()
            for name in ("maildrop", "incoming", "active", "deferred", "hold")
            for path in (queue / name).rglob("*")
        )


@pytest.fixture
def guarded(public_directory: Path) -> Iterator[Guarded]:
    with contextlib.ExitStack() as stack:
        ports = [stack.enter_context(reserved_port(HOST)) for _ in range(3)]
        front, filtering, behind = ports
        listeners = lines_for_master(*ports)
        postfix = Postfix(public_directory, front, listeners, FOR_SENDERS_ONLY)
        yield Guarded(stack.enter_context(postfix.running()), filtering, behind)


def test_mail_is_queued_once_and_has_passed_the_filter(guarded: Guarded) -> None:
    with guarded.filtering(), guarded.client() as client:
        reply = send(client, "b@example.test", "c@example.test")
    assert reply[0] == 250
    [(recipients, text)] = guarded.messages()
    assert recipients == ["b@example.test", "c@example.test"]
    assert text.endswith(b"\nX-Peer: 127.0.0.1\n\n" + BODY)


def test_the_sender_hears_why_the_filter_refuses(guarded: Guarded) -> None:
    with guarded.filtering(), guarded.client() as client:
        with pytest.raises(smtplib.SMTPDataError) as refused:
            spam = b"X-Spam-Flag: YES\r\n" + MESSAGE
            client.sendmail("a@example.test", ["b@example.test"], spam)
    assert refused.value.smtp_code == 550
    assert refused.value.smtp_error == b"Rejected as spam"
    assert guarded.is_empty()


def test_without_the_filter_senders_are_told_to_try_again(guarded: Guarded) -> None:
    with guarded.client() as client:
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            client.sendmail("a@example.test", ["b@example.test"], MESSAGE)
        assert 400 <= refused.value.recipients["b@example.test"][0] < 500
        assert guarded.is_empty()
        with guarded.filtering():
            assert send(client, "b@example.test")[0] == 250
    assert not guarded.is_empty()
    assert [to for to, _ in guarded.messages()] == [["b@example.test"]]


def test_senders_are_offered_only_what_the_filter_takes(guarded: Guarded) -> None:
    parameters = {
        "size": ("SIZE=1000", ""),
        "8bitmime": ("BODY=8BITMIME", ""),
        "dsn": ("RET=HDRS ENVID=1", "NOTIFY=NEVER ORCPT=rfc822;b@example.test"),
        "smtputf8": ("SMTPUTF8", ""),
    }
    with guarded.filtering(), guarded.client() as client:
        offered = [name for name in parameters if client.has_extn(name)]
        for name in offered:
            of_mail, of_rcpt = parameters[name]
            client.mail("a@example.test", [of_mail])
            assert client.rcpt("b@example.test", [of_rcpt])[0] == 250, name
            client.rset()
    assert "8bitmime" in offered
