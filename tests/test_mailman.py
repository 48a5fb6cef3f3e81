"""MailmanProxy: who gets the message, and what the client is told."""

from __future__ import annotations

import contextlib
import io
import smtplib
import sys
import types
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

import smtpd_compat
from tests.support.serving import address, serving
from tests.support.upstream import (
    CLOSE,
    SILENT,
    Refusing,
    Upstream,
    nobody_listening,
    upstream,
)

PATIENCE = 60
LIST, USER = "list@x", "user@x"
DATA = b"From: from@x\n\nbody"
WIRE = b"From: from@x\r\n\r\nbody\r\n"
UNAVAILABLE = "451 Error: next server is not available, try again later"
SOME = "554-Error: message was taken, but not for the recipients that follow\r\n554 "


@pytest.fixture(autouse=True)
def no_mailman_2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "Mailman", None)


def known(recipient: str) -> str | None:
    """What Mailman 3.3.6 and later say at RCPT, for the one list ``list``."""
    local_part = recipient.partition("@")[0].lower()
    if local_part in ("list", "list-owner", "list-request", "news-admin"):
        return None
    return "550 Requested action not taken: mailbox unavailable"


def known_later(recipients: list[str]) -> list[str]:
    """What Mailman 3 up to 3.3.5 says after the data."""
    return [known(to) or "250 Ok" for to in recipients]


NEW: dict[str, Any] = {"RCPT": known}
OLD: dict[str, Any] = {"end of data": known_later}


@contextlib.contextmanager
def both(
    mailman_script: Any, script: Any = None, cls: Any = None
) -> Iterator[tuple[Any, Upstream, Upstream]]:
    """A proxy that nobody serves, its Mailman, and its upstream."""
    with upstream(mailman_script, lmtp=True) as mailman, upstream(script) as up:
        with unserved(up.address, mailman.address, cls) as proxy:
            yield proxy, mailman, up


@contextlib.contextmanager
def unserved(
    remoteaddr: Any, mailman: Any = ("127.0.0.1", 8024), cls: Any = None
) -> Iterator[Any]:
    cls = cls or smtpd_compat.MailmanProxy
    proxy = cls(("127.0.0.1", 0), remoteaddr, map={})
    proxy.mailman_host, proxy.mailman_port = mailman
    try:
        yield proxy
    finally:
        proxy.close()


def process(
    proxy: Any, *rcpttos: str, data: Any = DATA, mailfrom: str = "from@x"
) -> Any:
    return proxy.process_message(("192.0.2.1", 4), mailfrom, list(rcpttos), data)


def recipients(server: Upstream) -> list[str]:
    return [to for message in server.messages for to in message.rcpttos]


# Mailman 3: who gets the message


@pytest.mark.parametrize(
    ("mailfrom", "rcpttos", "parameter"),
    [
        ("from@x", [LIST], ""),
        ("jürgen@x", [LIST], " SMTPUTF8"),
        ("from@x", ["ü" + LIST], " SMTPUTF8"),
        ("from@x", [LIST, "ü" + LIST], " SMTPUTF8"),
    ],
)
def test_mailman_is_asked_for_smtputf8_where_any_address_needs_it(
    mailfrom: str, rcpttos: list[str], parameter: str
) -> None:
    with upstream(extensions=("SMTPUTF8",), lmtp=True) as mailman:
        with unserved(("127.0.0.1", 9), mailman.address) as proxy:
            assert process(proxy, *rcpttos, mailfrom=mailfrom) is None
        assert recipients(mailman) == rcpttos
        assert mailman.messages[0].mailfrom == f"<{mailfrom}>{parameter}"


@pytest.mark.parametrize("script", [NEW, OLD], ids=["at RCPT", "after the data"])
@pytest.mark.parametrize("data", [DATA, DATA.decode()], ids=["bytes", "str"])
def test_mailman_gets_its_addresses_and_upstream_the_others(
    script: Any, data: Any
) -> None:
    with both(script) as (proxy, mailman, up):
        assert process(proxy, "one@x", LIST, USER, "list-owner@x", data=data) is None
        assert recipients(mailman) == [LIST, "list-owner@x"]
        assert recipients(up) == ["one@x", USER]
        assert {message.data for message in mailman.messages + up.messages} == {WIRE}


@pytest.mark.parametrize("script", [NEW, OLD], ids=["at RCPT", "after the data"])
def test_mail_for_lists_only_does_not_go_upstream(script: Any) -> None:
    with both(script) as (proxy, mailman, up):
        assert process(proxy, LIST) is None
        assert recipients(mailman) == [LIST]
        assert up.commands == []


@pytest.mark.parametrize("script", [NEW, OLD], ids=["at RCPT", "after the data"])
def test_mail_for_no_list_goes_upstream(script: Any) -> None:
    with both(script) as (proxy, mailman, up):
        assert process(proxy, USER, mailfrom="<>") is None
        assert recipients(mailman) == []
        assert recipients(up) == [USER]
        assert up.messages[0].mailfrom.split()[0] == "<>"


@pytest.mark.parametrize("recipient", ["list-admin@x", "LIST-Admin@x"])
def test_admin_is_offered_to_mailman_3_as_owner(recipient: str) -> None:
    with both(NEW) as (proxy, mailman, up):
        assert process(proxy, recipient) is None
        assert recipients(mailman) == [recipient.split("-")[0] + "-owner@x"]
        assert up.commands == []


@pytest.mark.parametrize(
    ("recipient", "names"),
    [
        ("nobody-admin@x", ["nobody-owner@x", "nobody-admin@x"]),
        ("admin@x", ["admin@x"]),
        ('"a-admin@b"@x', ['"a-admin@b"@x']),
        ("administrators@x", ["administrators@x"]),
    ],
)
def test_what_mailman_3_is_asked_for(recipient: str, names: list[str]) -> None:
    with both({"RCPT": "550 unknown"}) as (proxy, mailman, up):
        assert process(proxy, recipient) is None
        asked = [line for line in mailman.commands if line.startswith("RCPT")]
        assert asked == [f"RCPT TO:<{name}>" for name in names]
        assert recipients(up) == [recipient]


@pytest.mark.parametrize("script", [NEW, OLD], ids=["at RCPT", "after the data"])
def test_a_recipient_given_twice_gets_one_message(script: Any) -> None:
    with both(script) as (proxy, mailman, up):
        assert process(proxy, LIST, USER, LIST, USER) is None
        assert (recipients(mailman), recipients(up)) == ([LIST], [USER])


def test_a_recipient_given_twice_does_not_hear_the_next_one_s_reply() -> None:
    script = {**NEW, "end of data": ["250 Ok", "452 full"]}
    with both(script) as (proxy, mailman, up):
        assert process(proxy, LIST, LIST, "list-owner@x") == (
            SOME + "<list-owner@x>: 452 full"
        )


def test_two_names_of_one_mailbox_are_offered_to_mailman_3_once() -> None:
    with both(NEW) as (proxy, mailman, up):
        assert process(proxy, "list-admin@x", "list-owner@x", USER) is None
        assert recipients(mailman) == ["list-owner@x"]
        assert recipients(up) == [USER]


def test_a_list_whose_name_ends_in_admin_gets_its_mail() -> None:
    with both(NEW) as (proxy, mailman, up):
        assert process(proxy, "news-admin@x", "nobody-admin@x") is None
        assert recipients(mailman) == ["news-admin@x"]
        assert recipients(up) == ["nobody-admin@x"]


def test_the_client_hears_250_through_a_served_proxy() -> None:
    with upstream(NEW, lmtp=True) as mailman, upstream() as up:

        class Proxy(smtpd_compat.MailmanProxy):
            mailman_host, mailman_port = mailman.address

        with serving(Proxy, up.address) as server:
            with smtplib.SMTP(*address(server), timeout=PATIENCE) as client:
                assert client.sendmail("from@x", [LIST, USER], WIRE) == {}
        assert (recipients(mailman), recipients(up)) == ([LIST], [USER])


# Mailman 3: one answer for all


def test_without_mailman_nobody_gets_anything() -> None:
    with nobody_listening() as nowhere, upstream() as up:
        with unserved(up.address, nowhere) as proxy:
            assert process(proxy, LIST, USER) == UNAVAILABLE
            assert process(proxy, USER) == UNAVAILABLE
        assert up.commands == []


@pytest.mark.parametrize("ending", [CLOSE, SILENT])
@pytest.mark.parametrize("step", ["greeting", "EHLO", "MAIL", "RCPT"])
def test_mailman_breaking_off_before_the_data_is_451_and_nobody_gets_anything(
    step: str, ending: str
) -> None:
    with both({step: ending}) as (proxy, mailman, up):
        proxy.mailman_timeout = 0.2 if ending == SILENT else PATIENCE
        assert process(proxy, LIST, USER) == UNAVAILABLE
        assert up.commands == []


@pytest.mark.parametrize(
    ("script", "expected", "printed"),
    [
        ({"greeting": "554 closed"}, "554 closed", "SMTPConnectError"),
        ({"EHLO": "500 no LMTP here"}, "500 no LMTP here", "SMTPHeloError"),
        ({"MAIL": "553 bad sender"}, "553 bad sender", "SMTPSenderRefused"),
        ({"RCPT": "451 database is locked"}, "451 database is locked", ""),
        ({"RCPT": ["421 bye", CLOSE]}, "451 bye", ""),
    ],
)
def test_a_mailman_that_cannot_judge_is_heard_and_nobody_gets_anything(
    script: Any, expected: str, printed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = io.StringIO()
    with both(script) as (proxy, mailman, up):
        monkeypatch.setattr(smtpd_compat, "DEBUGSTREAM", trace)
        assert process(proxy, LIST, USER) == expected
        assert up.commands == []
        assert mailman.verbs().count("RCPT") == (not printed)  # not asked for the other
    assert trace.getvalue() == (printed and f"got <class 'smtplib.{printed}'>\n")


def test_a_mailman_that_cannot_judge_owner_is_not_asked_for_admin() -> None:
    script = {"RCPT": Refusing(**{"list-owner": "451 locked", "list-admin": "550 no"})}
    with both(script) as (proxy, mailman, up):
        assert process(proxy, "list-admin@x") == "451 locked"
        assert mailman.verbs().count("RCPT") == 1
        assert up.commands == []


def test_a_mailman_that_says_whose_it_is_not_and_leaves_has_said_it() -> None:
    with both({"RCPT": ["550 unknown", "421 bye", CLOSE]}) as (proxy, mailman, up):
        assert process(proxy, USER) is None
        assert recipients(up) == [USER]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ({"RCPT": "451 later"}, "451 later"),
        ({"MAIL": "450 later"}, "450 later"),
        ({"end of data": "452 full"}, "452 full"),
        ({"greeting": CLOSE}, UNAVAILABLE),
        ({"end of data": CLOSE}, UNAVAILABLE),
    ],
)
def test_while_upstream_cannot_take_it_mailman_does_not_get_it(
    script: Any, expected: str
) -> None:
    with both(NEW, script) as (proxy, mailman, up):
        assert process(proxy, LIST, USER) == expected
        assert recipients(mailman) == recipients(up) == []


def test_the_lists_hear_upstream_s_first_reason_to_wait() -> None:
    refusing = Refusing(user="452 full", one="450 busy")
    with both(NEW, {"RCPT": refusing}) as (proxy, mailman, up):
        assert process(proxy, LIST, USER, "one@x") == (
            "450-Error: message was not taken for any recipient\r\n"
            "450-<user@x>: 452 full\r\n"
            "450-<one@x>: 450 busy\r\n"
            "450 <list@x>: 452 full"
        )


def test_what_upstream_refuses_for_good_does_not_keep_it_from_the_list() -> None:
    with both(NEW, {"RCPT": "550 unknown"}) as (proxy, mailman, up):
        assert process(proxy, LIST, USER) == SOME + "<user@x>: 550 unknown"
        assert recipients(mailman) == [LIST]


def test_what_upstream_took_for_some_is_554_for_the_others() -> None:
    with both(NEW, {"RCPT": Refusing(user="450 busy")}) as (proxy, mailman, up):
        assert process(proxy, LIST, "one@x", USER) == SOME + "<user@x>: 450 busy"
        assert recipients(mailman) == [LIST]
        assert recipients(up) == ["one@x"]


@pytest.mark.parametrize(
    ("replies", "reason"),
    [
        ("451 trouble", "451 trouble"),
        ("501 Message has defects", "501 Message has defects"),
        ("550 No Message-ID header provided", "550 No Message-ID header provided"),
        ("550 No Message-ID \udcff", r"550 No Message-ID \xff"),
        (CLOSE, UNAVAILABLE),
        (["452 full"], "452 full"),
    ],
)
def test_what_mailman_refuses_after_upstream_took_it_is_554(
    replies: Any, reason: str
) -> None:
    with both({**NEW, "end of data": replies}) as (proxy, mailman, up):
        assert process(proxy, LIST, USER) == SOME + f"<list@x>: {reason}"
        assert recipients(mailman) == []
        assert recipients(up) == [USER]


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        ("451 trouble", "451 trouble"),
        ("501 Message has defects", "501 Message has defects"),
        ("550 No Message-ID header provided", "550 No Message-ID header provided"),
        (CLOSE, UNAVAILABLE),
        (["250 Ok", "452 full"], SOME + "<list-owner@x>: 452 full"),
        (["250 Ok", CLOSE], SOME + f"<list-owner@x>: {UNAVAILABLE}"),
    ],
)
def test_what_mailman_refuses_for_lists_only_is_its_own_reply(
    replies: Any, expected: str
) -> None:
    with both({**NEW, "end of data": replies}) as (proxy, mailman, up):
        assert process(proxy, LIST, "list-owner@x") == expected
        assert up.commands == []


def test_an_old_mailman_s_unknown_lists_refused_by_upstream_too() -> None:
    with both(OLD, {"RCPT": "550 unknown"}) as (proxy, mailman, up):
        assert process(proxy, USER) == "550 unknown"
        assert process(proxy, USER, LIST) == SOME + "<user@x>: 550 unknown"
        assert recipients(mailman) == [LIST]


def test_an_old_mailman_s_unknown_lists_can_be_tried_again() -> None:
    with both(OLD, {"RCPT": "450 later"}) as (proxy, mailman, up):
        assert process(proxy, USER, "one@x") == "450 later"
        assert recipients(mailman) == recipients(up) == []


def test_a_mailman_that_is_not_there_is_printed_as_the_original_prints_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trace = io.StringIO()
    with nobody_listening() as nowhere, unserved(nowhere, nowhere) as proxy:
        monkeypatch.setattr(smtpd_compat, "DEBUGSTREAM", trace)
        process(proxy, LIST)
    assert trace.getvalue().startswith("got <class 'ConnectionRefusedError'>\n")


def test_an_overridden_deliver_does_the_relaying() -> None:
    class Proxy(smtpd_compat.MailmanProxy):
        def _deliver(self, mailfrom: Any, rcpttos: Any, data: Any) -> Any:  # type: ignore[override]
            delivered.append((mailfrom, rcpttos, data))

    delivered: list[Any] = []
    with both(NEW, cls=Proxy) as (proxy, mailman, up):
        assert process(proxy, LIST, USER) is None
        assert recipients(mailman) == [LIST]
    assert delivered == [("from@x", [USER], DATA)]


# Mailman 2


class Mailman2:
    """Stands for the package, as far as Mailman 2.1's API is used."""

    def __init__(self, *lists: str) -> None:
        self.queued: list[tuple[str, dict[str, int], FakeMessage]] = []
        self.broken = False
        package = types.ModuleType("Mailman")
        fake = self

        class Message(FakeMessage):
            def Enqueue(self, mlist: Any, **kwargs: int) -> None:
                if fake.broken:
                    raise OSError("no space left")
                fake.queued.append((mlist.name, kwargs, self))

        class MailList:
            def __init__(self, name: str, lock: int = 1) -> None:
                assert name in lists and lock == 0
                self.name = name

        vars(package).update(
            Utils=types.SimpleNamespace(list_exists=lists.__contains__),
            Message=types.SimpleNamespace(Message=Message),
            MailList=types.SimpleNamespace(MailList=MailList),
        )
        self.package = package


class FakeMessage:
    def __init__(self, stream: Any) -> None:
        self.text = stream.read()
        self.headers: dict[str, str] = {}

    def get(self, name: str) -> str | None:
        for line in self.text.partition("\n\n")[0].splitlines():
            if line.lower().startswith(name.lower() + ":"):
                return str(line.partition(":")[2].strip())
        return None

    def __setitem__(self, name: str, value: str) -> None:
        self.headers[name] = value


@pytest.fixture
def mailman_2(monkeypatch: pytest.MonkeyPatch) -> Mailman2:
    fake = Mailman2("list", "two-words")
    monkeypatch.setitem(sys.modules, "Mailman", fake.package)
    clock = types.SimpleNamespace(time=lambda: 0, ctime=lambda when: f"noon of {when}")
    monkeypatch.setattr(smtpd_compat, "time", clock)
    return fake


@pytest.mark.parametrize("data", [DATA, DATA.decode()], ids=["bytes", "str"])
@pytest.mark.parametrize(
    ("recipient", "name", "purpose", "headers"),
    [
        ("list@x", "list", "tolist", {}),
        ("LIST@X", "list", "tolist", {}),
        ("list", "list", "tolist", {}),
        ("list-admin@x", "list", "toadmin", {}),
        ("list-owner@x", "list", "toowner", {}),
        ("list-request@x", "list", "torequest", {}),
        ("list-join@x", "list", "torequest", {"Subject": "subscribe"}),
        ("list-leave@x", "list", "torequest", {"Subject": "unsubscribe"}),
        ("two-words@x", "two-words", "tolist", {}),
        ("two-words-admin@x", "two-words", "toadmin", {}),
    ],
)
def test_mailman_2_is_told_what_the_address_is_for(
    mailman_2: Mailman2,
    recipient: str,
    name: str,
    purpose: str,
    headers: dict[str, str],
    data: Any,
) -> None:
    with unserved(None) as proxy:
        assert process(proxy, recipient, data=data) is None
    [(queued_for, purposes, message)] = mailman_2.queued
    assert (queued_for, purposes) == (name, {purpose: 1})
    assert message.text == DATA.decode()
    assert message.headers == {"Date": "noon of 0", **headers}


def test_mailman_2_gets_a_sender_where_the_message_names_none(
    mailman_2: Mailman2,
) -> None:
    with unserved(None) as proxy:
        assert process(proxy, LIST, data=b"Date: now\n\n\xff") is None
    [(_, _, message)] = mailman_2.queued
    assert message.headers == {"From": "from@x"}
    assert message.text == "Date: now\n\n\udcff"


@pytest.mark.parametrize(
    "recipient",
    [
        "user@x",
        "list-subscribe@x",
        "other-admin@x",
        "-admin@x",
        "admin@x",
        '"a@list"@x',
        "list@a@x",
    ],
)
def test_what_mailman_2_does_not_know_goes_upstream(
    mailman_2: Mailman2, recipient: str
) -> None:
    with upstream() as up, unserved(up.address) as proxy:
        assert process(proxy, recipient) is None
        assert recipients(up) == [recipient]
        assert up.messages[0].data == WIRE
    assert mailman_2.queued == []


def test_a_message_for_a_list_and_a_user_goes_to_both_and_is_traced(
    mailman_2: Mailman2, monkeypatch: pytest.MonkeyPatch
) -> None:
    with upstream() as up, unserved(up.address) as proxy:
        trace = io.StringIO()
        monkeypatch.setattr(smtpd_compat, "DEBUGSTREAM", trace)
        assert process(proxy, LIST, USER, "one@x") is None
        assert recipients(up) == [USER, "one@x"]
    assert [name for name, _, _ in mailman_2.queued] == ["list"]
    assert trace.getvalue() == (
        "forwarding recips: user@x one@x\n"
        "we got refusals: {}\n"
        "sending message to list@x\n"
    )


def test_mailman_2_gets_one_message_for_a_recipient_given_twice(
    mailman_2: Mailman2,
) -> None:
    with unserved(None) as proxy:
        assert process(proxy, LIST, LIST) is None
    assert len(mailman_2.queued) == 1


def test_a_command_s_subject_does_not_reach_the_list(mailman_2: Mailman2) -> None:
    with unserved(None) as proxy:
        assert process(proxy, "list-join@x", LIST) is None
    assert "Subject" not in mailman_2.queued[1][2].headers


def test_mailman_2_does_not_get_what_upstream_will_take_later(
    mailman_2: Mailman2,
) -> None:
    with upstream({"MAIL": "450 later"}) as up, unserved(up.address) as proxy:
        assert process(proxy, LIST, USER) == "450 later"
    assert mailman_2.queued == []


def test_mailman_2_failing_is_told_for_its_addresses(
    mailman_2: Mailman2, capsys: pytest.CaptureFixture[str]
) -> None:
    mailman_2.broken = True
    with upstream() as up, unserved(up.address) as proxy:
        assert process(proxy, LIST, USER) == SOME + f"<list@x>: {UNAVAILABLE}"
        assert process(proxy, LIST) == UNAVAILABLE
        assert recipients(up) == [USER]
    logged = capsys.readouterr().out
    assert "no space left" in logged
    assert logged.startswith("error: uncaptured python exception, keeping channel ")


def test_mailman_2_failing_when_it_is_asked_is_a_failure_of_the_handler(
    mailman_2: Mailman2,
) -> None:
    """It is for the channel to log it and to answer 451."""

    def fail(name: str) -> None:
        raise ValueError("corrupt")

    mailman_2.package.Utils.list_exists = fail
    with upstream() as up, unserved(up.address) as proxy:
        with pytest.raises(ValueError, match="corrupt"):
            process(proxy, LIST, USER)
        assert up.commands == []


def test_a_package_in_the_language_of_python_2_leaves_mail_to_mailman_3(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    package = tmp_path / "Mailman"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "MailList.py").write_text("print 'of Python 2'\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "Mailman")
    with both(NEW) as (proxy, mailman, up):
        assert process(proxy, LIST) is None
        assert recipients(mailman) == [LIST]


def test_a_package_that_is_not_mailman_2_leaves_mail_to_mailman_3(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "Mailman", types.ModuleType("Mailman"))
    with both(NEW) as (proxy, mailman, up):
        assert process(proxy, LIST) is None
        assert recipients(mailman) == [LIST]


# The class


@pytest.mark.parametrize("kwargs", [{}, {"decode_data": True}], ids=str)
def test_smtputf8_is_refused_as_the_original_refuses_it(kwargs: Any) -> None:
    with pytest.raises(ValueError, match=r"^MailmanProxy does not support SMTPUTF8\.$"):
        smtpd_compat.MailmanProxy(
            ("127.0.0.1", 0), None, map={}, enable_SMTPUTF8=True, **kwargs
        )


def test_the_class_does_not_call_itself_deprecated() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        smtpd_compat.MailmanProxy(("127.0.0.1", 0), None, map={}).close()


def test_mailman_3_is_looked_for_where_it_listens_by_default() -> None:
    cls = smtpd_compat.MailmanProxy
    assert (cls.mailman_host, cls.mailman_port) == ("127.0.0.1", 8024)
    assert (cls.mailman_timeout, cls.worker_threads) == (300.0, 64)
