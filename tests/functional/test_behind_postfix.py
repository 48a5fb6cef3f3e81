"""The README's lines for Postfix in front of a filter, with its recipe of a filter."""

from __future__ import annotations

import contextlib
import re
import smtplib
from collections.abc import Iterator
from contextlib import ExitStack
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
from tests.recipes.readme import README, program
from tests.support.serving import serving

__all__ = ["public_directory"]  # a fixture, which pytest finds by its name here

pytestmark = [
    pytest.mark.postfix,
    pytest.mark.skipif(not README.exists(), reason="README.md is not beside the tests"),
]

SPAM = b"X-Spam-Flag: YES\r\n" + MESSAGE


def readme_lines(front: int, filter: int, behind: int) -> str:
    """The lines for master.cf in README.md, with these ports.

    Nothing else is changed: neither the order of the lines nor their options.
    """
    [lines] = re.findall(
        r"^```\n(smtp +inet .*?)^```$", README.read_text("utf-8"), re.DOTALL | re.M
    )
    for pattern, port in [
        (r"^smtp(?= )", front),
        (r"(?<=127\.0\.0\.1:)10025\b", filter),
        (r"(?<=127\.0\.0\.1:)10026\b", behind),
    ]:
        lines, count = re.subn(pattern, str(port), lines, flags=re.M)
        assert count == 1, f"{pattern} is in the README's lines {count} times"
    return lines


class Guarded:
    """A Postfix with the README's lines, and a filter to put behind it."""

    def __init__(self, postfix: Postfix, filter_port: int, behind: int) -> None:
        self.messages = postfix.messages
        self._port = postfix.port
        self._filter_port = filter_port
        self._behind = behind

    @contextlib.contextmanager
    def filter(self) -> Iterator[Any]:
        """Run the filter of the README's recipe for as long as the block runs."""
        recipe: dict[str, Any] = {"__name__": "recipe"}
        exec(program("Filter mail on its way"), recipe)
        localaddr = (HOST, self._filter_port)
        with serving(recipe["Filter"], (HOST, self._behind), localaddr=localaddr):
            yield

    @contextlib.contextmanager
    def client(self) -> Iterator[smtplib.SMTP]:
        """A client of Postfix."""
        with smtplib.SMTP(HOST, self._port, timeout=PATIENCE) as client:
            client.ehlo()
            yield client


@pytest.fixture
def guarded(public_directory: Path) -> Iterator[Guarded]:
    with ExitStack() as stack:
        front, filter, behind = (
            stack.enter_context(reserved_port(HOST)) for _ in range(3)
        )
        lines = readme_lines(front, filter, behind)
        postfix = Postfix(public_directory, front, lines)
        yield Guarded(stack.enter_context(postfix.running()), filter, behind)


def test_mail_is_queued_once_and_has_passed_the_filter(guarded: Guarded) -> None:
    with guarded.filter(), guarded.client() as client:
        assert send(client, "b@example.test", "c@example.test")[0] == 250
        [(recipients, text)] = guarded.messages()
    assert recipients == ["b@example.test", "c@example.test"]
    assert text.endswith(b"\nX-Peer: 127.0.0.1\n\n" + BODY)


def test_dsn(guarded):
    with guarded.filter(), guarded.client() as client:
        print(client.esmtp_features)
        print(client.mail("a@example.test", ["RET=HDRS"]))
        print(client.rcpt("b@example.test", ["ORCPT=rfc822;b@example.test"]))
        client.rset()
        print(client.mail("a@example.test"))
        print(client.rcpt("b@example.test", ["ORCPT=rfc822;b@example.test"]))
        client.rset()
        print(client.mail("ü@example.test".encode().decode("latin1"), ["SMTPUTF8"]) if 0 else client.docmd("MAIL FROM:<a@example.test> SMTPUTF8"))
        client.rset()
        print(client.mail("a@example.test", ["SIZE=100"]))
        print(client.rcpt("b@example.test"))
        client.send(b"BDAT 5 LAST\r\nA: 1\n")
        print(client.getreply(), guarded.messages())
        assert 0
