"""What process_message may return, and what its author is told of anything else."""

from __future__ import annotations

import smtplib
import warnings
from typing import Any

import pytest

import smtpd_compat
from tests.support.serving import address, serving


class Server(smtpd_compat.SMTPServer):
    """Returns what the class has as ``returned``."""

    returned: Any = None

    def process_message(self, *args: Any, **kwargs: Any) -> Any:
        return self.returned


class WithWorkers(Server):
    worker_threads = 1

    def process_message(self, *args: Any, **kwargs: Any) -> Any:
        return self.returned


def reply_to_a_message(cls: Any, **settings: Any) -> tuple[int, bytes]:
    with serving(type(cls.__name__, (cls,), settings)) as server:
        with smtplib.SMTP(*address(server), timeout=60) as client:
            client.ehlo()
            client.mail("a@example.org")
            client.rcpt("b@example.org")
            reply: tuple[int, bytes] = client.data("text")
            assert client.noop()[0] == 250
    return reply


@pytest.mark.parametrize("cls", [Server, WithWorkers])
@pytest.mark.parametrize("returned", [True, 250, ["250 OK"], (250, "OK"), object])
def test_what_is_no_reply_is_named_with_the_handler_that_returned_it(
    cls: Any, returned: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reply_to_a_message(cls, returned=returned)[0] == 451
    said = capsys.readouterr().out
    assert "(<class 'TypeError'>:" in said
    assert f"{cls.__name__}.process_message returned {returned!r};" in said
    assert "return None, for '250 OK', or a reply as str" in said
    assert said.count("\n") == 1


def test_an_async_handler_is_told_that_nothing_awaits_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Async(smtpd_compat.SMTPServer):
        async def process_message(self, *args: Any, **kwargs: Any) -> None:
            pass

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # such as "never awaited"
        assert reply_to_a_message(Async)[0] == 451
    said = capsys.readouterr().out
    assert "Async.process_message is an async function, and nothing awaits it" in said


@pytest.mark.parametrize("returned", [b"550 No", bytearray(b"550 No")])
def test_a_reply_in_bytes_is_sent_and_its_handler_warned_of(
    returned: Any, heard: list[warnings.WarningMessage]
) -> None:
    assert reply_to_a_message(Server, returned=returned) == (550, b"No")
    [warning] = heard
    code = Server.process_message.__code__
    assert (warning.filename, warning.lineno) == (code.co_filename, code.co_firstlineno)
    assert "process_message returns its reply as bytes" in str(warning.message)


def test_a_push_of_somebodys_own_gets_whatever_the_handler_returned() -> None:
    class Channel(smtpd_compat.SMTPChannel):
        def push(self, msg: Any) -> None:
            super().push("%d %s" % msg if isinstance(msg, tuple) else msg)

    reply = reply_to_a_message(Server, returned=(550, "No"), channel_class=Channel)
    assert reply == (550, b"No")


@pytest.mark.parametrize("returned", [None, "", False, 0, b""])
def test_what_is_false_is_250(returned: Any) -> None:
    assert reply_to_a_message(Server, returned=returned) == (250, b"OK")
