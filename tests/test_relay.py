"""PureProxy: what reaches upstream, and what the client is told."""

from __future__ import annotations

import contextlib
import io
import select
import smtplib
import socket
import sys
import threading
import time
import types
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

import smtpd_compat
from smtpd_compat._relays import _blocking
from smtpd_compat._relays._blocking import endpoint, hello_name
from tests.support.descriptors import descriptors, none_below
from tests.support.serving import address, serving
from tests.support.upstream import (
    CLOSE,
    DRIPPING,
    ENDLESS,
    RESET,
    SILENT,
    Cut,
    Refusing,
    Turns,
    Upstream,
    nobody_listening,
    upstream,
)

PATIENCE = 60
UNAVAILABLE = (451, b"Error: next server is not available, try again later")
MESSAGE = b"From: a@x\r\nSubject: test\r\n\r\n.dotted\r\n..\r\nlast\r\n"
RELAYED = MESSAGE.replace(b"\r\n\r\n", b"\r\nX-Peer: 127.0.0.1\r\n\r\n", 1)


class Blocking(smtpd_compat.PureProxy):
    """A handler of one's own, for which upstream is waited for on the loop's thread."""

    def process_message(self, *args: Any, **kwargs: Any) -> str | None:
        return super().process_message(*args, **kwargs)


class InWorkers(Blocking):
    """The same, waiting in threads."""

    worker_threads = 4


#: For tests that take a *relay* and *options*: every way to deliver.
EVERY_WAY = pytest.mark.parametrize(
    ("relay", "options"),
    [
        (smtpd_compat.PureProxy, {}),
        (smtpd_compat.PureProxy, {"decode_data": True}),
        (Blocking, {}),
        (InWorkers, {}),
    ],
    ids=["loop", "loop, str", "blocking", "workers"],
)


@contextlib.contextmanager
def proxy(remoteaddr: Any, cls: Any = None, **kwargs: Any) -> Iterator[Any]:
    """A server that relays to *remoteaddr*, and a client connected to it."""
    relay = cls or smtpd_compat.PureProxy
    with serving(relay, remoteaddr, loop=smtpd_compat.loop, **kwargs) as server:
        with smtplib.SMTP(*address(server), timeout=PATIENCE) as client:
            client.ehlo()
            yield client


@contextlib.contextmanager
def unserved(remoteaddr: Any, cls: Any = None) -> Iterator[Any]:
    """A server that nobody serves, for calls of its methods."""
    server = (cls or smtpd_compat.PureProxy)(("127.0.0.1", 0), remoteaddr, map={})
    try:
        yield server
    finally:
        server.close()


def send(
    client: smtplib.SMTP,
    *rcpttos: str,
    mailfrom: str = "from@x",
    message: bytes = MESSAGE,
) -> tuple[int, bytes]:
    """Send a message; the reply to the end of the data."""
    assert client.mail(mailfrom)[0] == 250
    for to in rcpttos:
        assert client.rcpt(to)[0] == 250
    return client.data(message)


def recipients(server: Upstream) -> list[str]:
    """Who got a message."""
    return [to for message in server.messages for to in message.rcpttos]


# The matrix: what upstream does, and what the client then hears

ALICE = "alice@x"
BOB = "bob@x"

STEPS = ("greeting", "EHLO", "MAIL", "RCPT", "DATA", "end of data")
REFUSING = ("greeting", "MAIL", "RCPT", "DATA", "end of data")

NOTHING_TAKEN = [
    *[
        ({step: reply}, UNAVAILABLE)
        for step in STEPS
        for reply in (CLOSE, RESET, SILENT, DRIPPING, "nonsense", "150 no", "")
    ],
    *[({step: [Cut("45"), CLOSE]}, UNAVAILABLE) for step in STEPS],
    *[({step: ENDLESS}, UNAVAILABLE) for step in STEPS[:-1]],
    *[({step: "longer than is read" * 9999}, UNAVAILABLE) for step in STEPS],
    *[
        ({step: f"{code} {step} no"}, (int(code), f"{step} no".encode()))
        for step in REFUSING
        for code in ("450", "554")
    ],
    *[
        ({step: [f"421 {step} bye", CLOSE]}, (451, f"{step} bye".encode()))
        for step in STEPS
    ],
    *[
        ({step: [Cut("450-not"), CLOSE]}, (450, b"not"))
        for step in REFUSING
        if step != "RCPT"
    ],
    ({"EHLO": "502 no", "HELO": "504 nor this"}, (504, b"nor this")),
    ({"EHLO": "502 no", "HELO": CLOSE}, UNAVAILABLE),
    ({"RCPT": Refusing(bob=CLOSE)}, UNAVAILABLE),
    ({"RCPT": Refusing(bob=SILENT)}, UNAVAILABLE),
    ({"RCPT": Refusing(bob=["421 bye", CLOSE])}, (451, b"bye")),
    ({"DATA": "250 OK"}, UNAVAILABLE),
    ({"end of data": "354 go on"}, UNAVAILABLE),
]


@EVERY_WAY
@pytest.mark.parametrize("extensions", [(), ("PIPELINING",)], ids=["one", "all"])
@pytest.mark.parametrize(
    ("script", "expected"),
    [pytest.param(*case, id=str(case[0])[:60]) for case in NOTHING_TAKEN],
)
def test_what_upstream_did_not_take_is_not_acknowledged(
    script: Any, expected: tuple[int, bytes], extensions: Any, relay: Any, options: Any
) -> None:
    is_slow = SILENT in str(script) or DRIPPING in str(script)

    class Hasty(relay):  # type: ignore[misc]
        upstream_timeout = 0.2 if is_slow else PATIENCE

    with upstream(script, extensions=extensions) as server:
        with proxy(server.address, Hasty, **options) as client:
            assert send(client, ALICE, BOB) == expected
            assert client.noop()[0] == 250
        assert server.messages == []


@EVERY_WAY
def test_an_upstream_that_talks_instead_of_reading_the_message_is_not_waited_for(
    relay: Any, options: Any
) -> None:
    class Hasty(relay):  # type: ignore[misc]
        upstream_timeout = 0.2

    body = b"Subject: x\r\n\r\n" + (b"x" * 98 + b"\r\n") * 120_000
    with upstream({"DATA": ["354 go on", DRIPPING]}) as server:
        with proxy(server.address, Hasty, **options) as client:
            assert send(client, ALICE, message=body) == UNAVAILABLE
        assert server.messages == []


@EVERY_WAY
@pytest.mark.parametrize("extensions", [(), ("PIPELINING",)], ids=["one", "all"])
@pytest.mark.parametrize(
    "script",
    [
        {},
        {"EHLO": "502 no"},
        {"RCPT": "251 will forward"},
        {"RCPT": "299 fine"},
        {"QUIT": CLOSE},
        {"QUIT": SILENT},
        {"QUIT": "500 stay"},
        {"end of data": ["250 taken", CLOSE]},
        {"end of data": "251 taken, and will be forwarded"},
        {"end of data": "200 taken"},
        {"end of data": "250 " + "x" * 9000},
        {"end of data": [Cut("250 taken"), CLOSE]},
        {"end of data": ["250-taken", CLOSE]},
        {"end of data": ["250-taken", ENDLESS]},
    ],
    ids=lambda script: str(script)[:60] if isinstance(script, dict) else None,
)
def test_what_upstream_took_for_all_is_acknowledged_once(
    script: Any, extensions: Any, relay: Any, options: Any
) -> None:
    with upstream(script, extensions=extensions) as server:
        with proxy(server.address, relay, **options) as client:
            assert send(client, ALICE, BOB) == (250, b"OK")
        assert [message.data for message in server.messages] == [RELAYED]
        assert recipients(server) == [ALICE, BOB]


@EVERY_WAY
@pytest.mark.parametrize("extensions", [(), ("PIPELINING",)], ids=["one", "all"])
def test_a_message_taken_for_some_only_is_554_that_names_the_others(
    extensions: Any, relay: Any, options: Any
) -> None:
    script = {
        "RCPT": Refusing(bob="550 5.1.1 gone", eve="452 full"),
        "end of data": "251 taken",
    }
    with upstream(script, extensions=extensions) as server:
        with proxy(server.address, relay, **options) as client:
            code, text = send(client, ALICE, BOB, "eve@x")
        assert recipients(server) == [ALICE]
    assert code == 554
    assert text.split(b"\n")[1:] == [b"<bob@x>: 550 5.1.1 gone", b"<eve@x>: 452 full"]


@EVERY_WAY
def test_an_upstream_that_is_not_there_is_451(relay: Any, options: Any) -> None:
    with nobody_listening() as nowhere:
        with proxy(nowhere, relay, **options) as client:
            assert send(client, ALICE) == UNAVAILABLE
            assert send(client, ALICE) == UNAVAILABLE


def test_upstream_s_reply_of_several_lines_reaches_the_client() -> None:
    with upstream({"MAIL": "553-5.7.1 not you\r\n553 5.7.1 go away"}) as server:
        with proxy(server.address) as client:
            assert send(client, ALICE) == (553, b"5.7.1 not you\n5.7.1 go away")


def test_an_upstream_that_leaves_at_the_second_recipient_has_not_got_the_first() -> (
    None
):
    """smtplib tells only of the second; a retry for both duplicates nothing."""
    with upstream({"RCPT": Refusing(bob="421 bye")}) as server:
        with unserved(server.address) as relay:
            refused = relay._deliver("from@x", [ALICE, BOB], MESSAGE)
        assert server.messages == []
    assert refused == {ALICE: (421, b"bye"), BOB: (421, b"bye")}


def test_a_recipient_given_twice_is_sent_once_and_can_be_tried_again() -> None:
    with upstream({"RCPT": "451 later"}) as server:
        with proxy(server.address) as client:
            assert send(client, ALICE, ALICE) == (451, b"later")
        assert server.verbs().count("RCPT") == 1


# What goes upstream


class Logs(smtpd_compat.PureProxy):
    """A `_deliver` of one's own, which passes on what it gets."""

    def _deliver(self, mailfrom: Any, rcpttos: Any, data: Any) -> Any:  # type: ignore[override]
        return super()._deliver(mailfrom, rcpttos, data)


class Passes(smtpd_compat.PureProxy):
    """Both, one handing on to the other, and both to the original's."""

    def process_message(self, *args: Any, **kwargs: Any) -> str | None:
        return super().process_message(*args, **kwargs)

    def _deliver(self, *args: Any) -> Any:
        return super()._deliver(*args)


@pytest.mark.parametrize("decode_data", [False, True], ids=["bytes", "str"])
@pytest.mark.parametrize(
    "relay", [smtpd_compat.PureProxy, Blocking, InWorkers, Logs, Passes]
)
@pytest.mark.parametrize("ending", [b"", b"\r\n", b"\r\n\r\n", b"-- \r\n2.39\r\n\r\n"])
def test_the_last_empty_line_of_a_message_goes_upstream(
    ending: bytes, relay: Any, decode_data: bool
) -> None:
    message = b"Subject: x\r\n\r\none\r\n" + ending
    with upstream() as server:
        with proxy(server.address, relay, decode_data=decode_data) as client:
            assert send(client, ALICE, message=message) == (250, b"OK")
        [taken] = server.messages
    assert taken.data == message.replace(
        b"\r\n\r\n", b"\r\nX-Peer: 127.0.0.1\r\n\r\n", 1
    )


@pytest.mark.parametrize("text", ["A: 1\n\nx", b"A: 1\r\n\r\nx\r\n", "A: 1\n\nx\r"])
def test_text_of_ones_own_gets_a_line_end_only_where_it_has_none(text: Any) -> None:
    with upstream(extensions=("SIZE",)) as server:
        with unserved(server.address) as relay:
            assert relay._deliver("from@x", [ALICE], text) == {}
        [message] = server.messages
    assert message.data == b"A: 1\r\n\r\nx\r\n"


@EVERY_WAY
@pytest.mark.parametrize(
    ("mailfrom", "rcptto"),
    [
        ('"root@bank.example> SIZE=1 AUTH=<admin"', "r@x"),
        ("s@x", '"victim@evil.example> NOTIFY=NEVER ORCPT=rfc822;<x"'),
        ("s@x", "victim@=?utf-8?q?evil.example=2Cx=40good.example?="),
        ("s@x", '"two words"@x'),
        ("\xa0root@x", "r@x"),
    ],
)
def test_upstream_hears_the_address_that_the_handler_saw_or_none(
    mailfrom: str, rcptto: str, relay: Any, options: Any
) -> None:
    seen = []

    class Looking(smtpd_compat.SMTPChannel):
        def push(self, msg: Any) -> None:
            if self.smtp_state == self.DATA:
                seen.append((self.mailfrom, *self.rcpttos))
            super().push(msg)

    class Relay(relay):  # type: ignore[misc]
        channel_class = Looking

    with upstream(extensions=("SMTPUTF8",)) as server:
        with proxy(server.address, Relay, **options) as client:
            client.send(
                f"MAIL FROM:<{mailfrom}>\r\nRCPT TO:<{rcptto}>\r\nDATA\r\n".encode()
            )
            if [client.getreply()[0] for _ in range(3)] == [250, 250, 354]:
                client.send(b"x\r\n.\r\n")
                assert client.getreply()[0] in (250, 553)
        heard = [line for line in server.commands if line[:4] in ("MAIL", "RCPT")]
    for saw, line in zip(seen[0] if seen else (), heard):
        assert line.partition(":")[2].startswith(f"<{saw}>")
        assert line.partition(f"<{saw}>")[2] in ("", " SMTPUTF8")


@pytest.mark.parametrize(
    "data",
    ["a\r\n.\rb\nc\r\r\n.\n\r.\r\n", b"a\r\n.\rb\nc\r\r\n.\n\r.\r\n", "ü\r.\r\n.\n"],
)
def test_no_bare_cr_or_lf_and_no_early_end_go_upstream(data: bytes | str) -> None:
    with upstream() as server:
        with unserved(server.address) as relay:
            assert relay.process_message("", "from@x", [ALICE], data) is None
        [message] = server.messages
    raw = data.encode() if isinstance(data, str) else data
    rest = message.wire.replace(b"\r\n", b"")
    assert b"\r" not in rest and b"\n" not in rest
    assert b"\r\n.\r\n" not in b"\r\n" + message.wire
    lines = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    assert message.data.split(b"\r\n")[: len(lines)] == lines


def test_bytes_from_the_client_arrive_upstream_as_they_were() -> None:
    body = bytes(set(range(256)) - set(b"\r\n")) + b"\r\n" + b"x" * 2000 + b"\r\n"
    with upstream() as server:
        with proxy(server.address) as client:
            send(client, ALICE, message=b"A: 1\r\n\r\n" + body)
        [message] = server.messages
    assert message.data == b"A: 1\r\nX-Peer: 127.0.0.1\r\n\r\n" + body
    assert message.mailfrom.endswith(" BODY=8BITMIME")


@pytest.mark.parametrize("extensions", [(), ("SIZE",)])
def test_8bit_content_is_sent_as_it_is_where_upstream_offers_no_8bitmime(
    extensions: Any,
) -> None:
    with upstream(extensions=extensions) as server:
        with proxy(server.address) as client:
            assert send(client, ALICE, message=b"A: \xc3\xbc\r\n\r\n\xff\r\n")[0] == 250
        [message] = server.messages
    assert message.data == b"A: \xc3\xbc\r\nX-Peer: 127.0.0.1\r\n\r\n\xff\r\n"
    assert "BODY" not in message.mailfrom


def test_text_with_surrogate_escapes_goes_upstream_as_the_octets_it_came_from() -> None:
    with upstream() as server:
        with unserved(server.address) as relay:
            text = b"A: \xff\n\n\xc3\xbc\n".decode("utf-8", "surrogateescape")
            assert relay._deliver("from@x", [ALICE], text) == {}
        [message] = server.messages
    assert message.data == b"A: \xff\r\n\r\n\xc3\xbc\r\n"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mx.test", "mx.test"),
        ("localhost", "[127.0.0.1]"),
        ("m\xfcx.test", "[127.0.0.1]"),
        ("mx .test", "[127.0.0.1]"),
        ("mx\t.test", "[127.0.0.1]"),
    ],
)
@pytest.mark.parametrize("relay", [smtpd_compat.PureProxy, Blocking])
def test_upstream_hears_our_name_or_where_that_is_none_our_address(
    relay: Any, name: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with upstream() as server:
        with proxy(server.address, relay) as client:
            monkeypatch.setattr(smtpd_compat.socket, "getfqdn", lambda: name)
            assert send(client, ALICE) == (250, b"OK")
        assert server.commands[0] == f"EHLO {said}"


def test_an_ipv6_address_is_marked_as_one_and_has_no_zone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(smtpd_compat.socket, "getfqdn", lambda: "localhost")
    sock = mock.Mock(spec=socket.socket)
    for host, said in (("::1", "[IPv6:::1]"), ("fe80::1%eth0", "[IPv6:fe80::1]")):
        sock.getsockname.return_value = (host, 25, 0, 2)
        assert hello_name(sock) == said


def test_the_null_reverse_path_stays_null() -> None:
    with upstream() as server:
        with proxy(server.address) as client:
            assert send(client, ALICE, mailfrom="")[0] == 250
        assert server.messages[0].mailfrom.split()[0] == "<>"


def test_non_ascii_addresses_go_upstream_with_smtputf8() -> None:
    with upstream(extensions=("8BITMIME", "SMTPUTF8")) as server:
        with unserved(server.address) as relay:
            refused = relay._deliver("jürgen@x", [ALICE, "zoë@ü.example"], "A: ü\n")
        [message] = server.messages
    assert refused == {}
    assert message.mailfrom == "<jürgen@x> BODY=8BITMIME SMTPUTF8"
    assert message.rcpttos == [ALICE, "zoë@ü.example"]
    assert message.data == "A: ü\r\n".encode()


@pytest.mark.parametrize(
    ("mailfrom", "recipient", "parameter"),
    [
        ("from@x", ALICE, ""),
        ("jürgen@x", ALICE, " SMTPUTF8"),
        ("from@x", "zoë@x", " SMTPUTF8"),
        ("from@ü.example", ALICE, " SMTPUTF8"),
    ],
)
def test_smtputf8_is_asked_for_where_any_address_needs_it(
    mailfrom: str, recipient: str, parameter: str
) -> None:
    with upstream(extensions=("SMTPUTF8",)) as server:
        with unserved(server.address) as relay:
            assert relay._deliver(mailfrom, [recipient], "A: 1\n") == {}
        assert server.messages[0].mailfrom == f"<{mailfrom}>{parameter}"


def test_smtputf8_that_the_client_asked_for_is_passed_on_where_it_is_offered() -> None:
    options = {"mail_options": ["BODY=8BITMIME", "SMTPUTF8"], "rcpt_options": []}
    for extensions, expected in (
        (("8BITMIME", "SMTPUTF8"), "<a@x> BODY=8BITMIME SMTPUTF8"),
        (("8BITMIME",), "<a@x> BODY=8BITMIME"),
    ):
        with upstream(extensions=extensions) as server:
            with unserved(server.address) as relay:
                data = "A: ü\n".encode()
                assert (
                    relay.process_message("", "a@x", [ALICE], data, **options) is None
                )
            assert server.messages[0].mailfrom == expected
            assert server.messages[0].data == "A: ü\r\n\r\n".encode()


@pytest.mark.parametrize("asked", ["", " SMTPUTF8"])
@pytest.mark.parametrize("relay_class", [smtpd_compat.PureProxy, Blocking])
def test_smtputf8_that_a_client_asks_for_is_passed_on_as_it_asks(
    relay_class: Any, asked: str
) -> None:
    with upstream(extensions=("SMTPUTF8",)) as server:
        with serving(relay_class, server.address) as relay:
            relay.enable_SMTPUTF8 = True
            with smtplib.SMTP(*address(relay), timeout=PATIENCE) as client:
                client.ehlo()
                assert client.docmd(f"MAIL FROM:<a@x>{asked}")[0] == 250
                assert client.rcpt(ALICE)[0] == 250
                assert client.data(MESSAGE) == (250, b"OK")
        assert server.messages[0].mailfrom == f"<a@x>{asked}"


def test_an_overridden_deliver_of_three_arguments_gets_smtputf8_mail_too() -> None:
    class Logging(smtpd_compat.PureProxy):
        def _deliver(self, mailfrom: Any, rcpttos: Any, data: Any) -> Any:  # type: ignore[override]
            return smtpd_compat.PureProxy._deliver(self, mailfrom, rcpttos, data)

    options = {"mail_options": ["SMTPUTF8"], "rcpt_options": []}
    with upstream(extensions=("SMTPUTF8",)) as server:
        with unserved(server.address, Logging) as relay:
            assert relay.process_message("", "ü@x", [ALICE], b"", **options) is None
        assert server.messages[0].mailfrom == "<ü@x> SMTPUTF8"


def test_without_smtputf8_upstream_a_non_ascii_recipient_is_refused() -> None:
    with upstream() as server:
        with proxy(server.address) as client:
            client.mail("from@x")
            client.rcpt(ALICE)
            client.send("RCPT TO:<zoë@x>\r\n".encode())
            assert client.getreply()[0] == 250
            code, text = client.data(MESSAGE)
        assert recipients(server) == [ALICE]
    assert code == 554
    assert text.endswith(rb"<zo\xeb@x>: 553 Error: next server does not offer SMTPUTF8")


def test_without_smtputf8_upstream_a_non_ascii_sender_is_refused() -> None:
    with upstream() as server:
        with unserved(server.address) as relay:
            reply = relay.process_message("", "zoë@x", [ALICE], b"\n")
        assert server.messages == []
    assert reply == "553 Error: next server does not offer SMTPUTF8"


@pytest.mark.parametrize("bad", ["a\rb@x", 'a"\nDATA\n@x'])
def test_an_address_with_a_line_end_is_refused_and_never_sent(bad: str) -> None:
    with upstream() as server:
        with unserved(server.address) as relay:
            refused = relay._deliver("from@x", [bad, ALICE], MESSAGE)
            assert refused == {bad: (553, "Error: address cannot be relayed")}
            assert list(relay._deliver("from@x", [bad], MESSAGE)) == [bad]
            assert list(relay._deliver(bad, [ALICE, BOB], MESSAGE)) == [ALICE, BOB]
        assert recipients(server) == [ALICE]
        assert not [command for command in server.commands if "DATA" in command[1:]]


@pytest.mark.parametrize("peer", ["", None, ("::1", 25, 0, 0)])
def test_every_kind_of_peer_can_send(peer: Any) -> None:
    with upstream() as server:
        with unserved(server.address) as relay:
            assert relay.process_message(peer, "from@x", [ALICE], b"A: 1\n") is None
        header = b"X-Peer: ::1\r\n" if peer else b""
        assert server.messages[0].data == b"A: 1\r\n" + header + b"\r\n"


# The hook


@pytest.mark.parametrize(
    ("remoteaddr", "expected"),
    [
        (("up.example", 2525), ("up.example", 2525)),
        (("up.example", 0), ("up.example", 25)),
        (("up.example", None), ("up.example", 25)),
        (("up.example:26", 0), ("up.example", 26)),
        (("up.example:26", 27), ("up.example:26", 27)),
        (("2001:db8::1", 0), ("2001:db8::1", 25)),
        (("2001:db8::1", 26, 0, 0), ("2001:db8::1", 26)),
    ],
)
def test_host_and_port_are_read_as_smtplib_reads_them(
    remoteaddr: Any, expected: Any
) -> None:
    assert endpoint(remoteaddr) == expected


def test_a_port_that_is_no_number_is_an_oserror_as_in_smtplib() -> None:
    with pytest.raises(OSError, match="nonnumeric port"):
        endpoint(("up.example:smtp", 0))


@pytest.mark.parametrize("name", ["process_message", "_deliver"])
def test_a_method_of_the_instance_s_own_is_called(name: str) -> None:
    called: list[Any] = []
    with upstream() as server:
        with serving(smtpd_compat.PureProxy, server.address) as relay:
            setattr(relay, name, lambda *args, **kwargs: called.append(args))
            with smtplib.SMTP(*address(relay), timeout=PATIENCE) as client:
                client.ehlo()
                assert send(client, ALICE) == (250, b"OK")
        assert server.commands == []
    assert len(called) == 1


def test_text_that_has_been_handed_on_may_be_delivered_as_ones_own_later() -> None:
    text = "A: 1\n\nx\n"
    with upstream() as server, unserved(server.address) as relay:
        assert relay.process_message("", "from@x", [ALICE], text) is None
        assert relay._deliver("from@x", [ALICE], text) == {}
    assert [message.data for message in server.messages] == [
        b"A: 1\r\n\r\nx\r\n\r\n",
        b"A: 1\r\n\r\nx\r\n",
    ]


def test_deliver_sends_to_a_recipient_given_twice_once() -> None:
    with upstream() as server, unserved(server.address) as relay:
        assert relay._deliver("from@x", [ALICE, BOB, ALICE], "A: 1\n\n") == {}
        assert recipients(server) == [ALICE, BOB]


def test_deliver_keeps_its_calls_of_smtplib() -> None:
    """Programs' tests replace smtplib.SMTP, and look at what it was called with."""
    with unserved(("up.example", 2525)) as relay, mock.patch("smtplib.SMTP") as smtp:
        smtp.return_value.sendmail.return_value = {}
        relay.process_message(("192.0.2.1", 4), "from@x", [ALICE], "A: 1\n\nbody\n")
    assert smtp.mock_calls == [
        mock.call(),
        mock.call().connect("up.example", 2525),
        mock.call().sendmail("from@x", [ALICE], "A: 1\nX-Peer: 192.0.2.1\n\nbody\n"),
        mock.call().quit(),
    ]


class FakeSMTP:
    """What programs' tests put in smtplib's place."""

    sent: list[Any] = []

    def connect(self, host: Any, port: Any) -> None:
        self.sent.append((host, port))

    def sendmail(self, *args: Any) -> Any:
        self.sent.append(args)
        return {}

    def quit(self) -> None:
        self.sent.append("quit")


def _fake_class(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(smtplib, "SMTP", FakeSMTP)


def _fake_methods(patch: pytest.MonkeyPatch) -> None:
    for name in ("connect", "sendmail", "quit"):
        patch.setattr(smtplib.SMTP, name, vars(FakeSMTP)[name])
    patch.setattr(smtplib.SMTP, "sent", FakeSMTP.sent, raising=False)


def _fake_subclass(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(smtplib, "SMTP", type("SMTP", (FakeSMTP, smtplib.SMTP), {}))


def _fake_module(patch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("smtplib")
    vars(module).update(vars(smtplib), SMTP=FakeSMTP)
    patch.setitem(sys.modules, "smtplib", module)


@pytest.mark.parametrize(
    "replace", [_fake_class, _fake_methods, _fake_subclass, _fake_module]
)
def test_what_stands_in_the_place_of_smtplib_gets_the_message(
    replace: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeSMTP, "sent", [])
    with proxy(("up.example", 2525)) as client:
        with monkeypatch.context() as patch:
            replace(patch)
            client.docmd("MAIL FROM:<from@x>")
            client.docmd("RCPT TO:<alice@x>")
            client.docmd("DATA")
            client.send(b"A: 1\r\n.\r\n")
            assert client.getreply() == (250, b"OK")
    sent = FakeSMTP.sent
    assert sent == [
        ("up.example", 2525),
        ("from@x", [ALICE], b"A: 1\nX-Peer: 127.0.0.1"),
        "quit",
    ]


@pytest.mark.parametrize("name", ["__init__", "connect", "sendmail", "quit"])
def test_what_stands_in_the_place_of_one_method_of_smtplib_is_called(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = getattr(smtplib.SMTP, name)
    called = []

    def replaced(self: Any, *args: Any, **kwargs: Any) -> Any:
        called.append(type(self))
        return method(self, *args, **kwargs)

    with upstream() as server:
        with proxy(server.address) as client:
            with monkeypatch.context() as patch:
                patch.setattr(smtplib.SMTP, name, replaced)
                assert send(client, ALICE) == (250, b"OK")
        assert recipients(server) == [ALICE]
    assert called == [smtplib.SMTP]


def test_what_stands_in_the_place_of_create_connection_is_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connected = []

    def refuse(address: Any, *args: Any, **kwargs: Any) -> Any:
        connected.append((address, *args))
        raise ConnectionRefusedError(111, "not in this test")

    with upstream() as server:
        with proxy(server.address) as client:
            with monkeypatch.context() as patch:
                patch.setattr(socket, "create_connection", refuse)
                assert send(client, ALICE) == UNAVAILABLE
            assert send(client, ALICE) == (250, b"OK")
        assert connected == [(server.address, 300.0)]


@pytest.mark.parametrize(
    ("error", "reply"),
    [
        (smtplib.SMTPSenderRefused(552, b"bad", "from@x"), (552, b"bad")),
        (smtplib.SMTPDataError(554, b"bad"), (554, b"bad")),
        (smtplib.SMTPHeloError(500, b"bad"), (500, b"bad")),
        (smtplib.SMTPConnectError(421, b"bad"), (421, b"bad")),
        (smtplib.SMTPServerDisconnected("gone"), (-1, "ignore")),
        (smtplib.SMTPNotSupportedError("gone"), (-1, "ignore")),
        (ConnectionRefusedError(111, "gone"), (-1, "ignore")),
        (TimeoutError("gone"), (-1, "ignore")),
    ],
    ids=repr,
)
@pytest.mark.parametrize("where", ["connect", "sendmail"])
def test_deliver_reports_every_failure_as_the_original_does(
    where: str,
    error: Exception,
    reply: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trace = io.StringIO()
    with unserved(("up.example", 25)) as relay, mock.patch("smtplib.SMTP") as smtp:
        monkeypatch.setattr(smtpd_compat, "DEBUGSTREAM", trace)
        getattr(smtp.return_value, where).side_effect = error
        refused = relay._deliver("from@x", [ALICE, BOB], "A: 1\n\n")
    assert refused == {ALICE: reply, BOB: reply}
    assert trace.getvalue() == f"got {type(error)}\n"


@pytest.mark.parametrize("refused", [{}, {BOB: (550, b"no")}])
def test_recipients_that_a_stand_in_for_smtplib_returns_are_reported(
    refused: Any,
) -> None:
    with unserved(("up.example", 25)) as relay, mock.patch("smtplib.SMTP") as smtp:
        smtp.return_value.sendmail.return_value = refused
        assert relay._deliver("from@x", [ALICE, BOB], "") is refused
        assert smtp.return_value.quit.call_count == 1


def test_recipients_that_a_stand_in_for_smtplib_refuses_are_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trace = io.StringIO()
    refused = {ALICE: (550, b"no"), "eve@x": (452, b"full")}
    with unserved(("up.example", 25)) as relay, mock.patch("smtplib.SMTP") as smtp:
        error = smtplib.SMTPRecipientsRefused(refused)
        smtp.return_value.sendmail.side_effect = error
        monkeypatch.setattr(smtpd_compat, "DEBUGSTREAM", trace)
        assert relay._deliver("from@x", [ALICE, "eve@x", BOB], "") == {
            **refused,
            BOB: (452, b"full"),
        }
        error.recipients = {}
        assert relay._deliver("from@x", [ALICE], "") == {ALICE: (-1, "ignore")}
    assert trace.getvalue() == "got SMTPRecipientsRefused\n" * 2


def test_failures_are_printed_as_the_original_prints_smtplibs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trace = io.StringIO()
    script = {"MAIL": Turns("450 a"), "DATA": Turns(None, "450 b")}
    with upstream(script) as server, nobody_listening() as nowhere:
        with proxy(server.address) as client, proxy(nowhere) as other:
            monkeypatch.setattr(smtpd_compat, "DEBUGSTREAM", trace)
            for connection in (client, client, other):
                send(connection, ALICE)
            monkeypatch.undo()
    said = trace.getvalue().splitlines()
    assert [line for line in said if line.startswith(("got", "we got"))] == [
        "got <class 'smtplib.SMTPSenderRefused'>",
        "we got some refusals: {'alice@x': (450, b'a')}",
        "we got some refusals: {}",
        "got <class 'ConnectionRefusedError'>",
        "we got some refusals: {'alice@x': (-1, 'ignore')}",
    ]


def test_refusals_are_printed_on_the_debug_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with upstream({"RCPT": Refusing(bob="550 no")}) as server:
        with unserved(server.address) as relay:
            trace = io.StringIO()
            monkeypatch.setattr(smtpd_compat, "DEBUGSTREAM", trace)
            for rcpttos in ([ALICE], [ALICE, BOB], [BOB]):
                relay.process_message("", "from@x", rcpttos, b"")
    assert trace.getvalue() == (
        "we got some refusals: {}\n"
        "we got some refusals: {'bob@x': (550, b'no')}\n"
        "got SMTPRecipientsRefused\n"
        "we got some refusals: {'bob@x': (550, b'no')}\n"
    )


@pytest.mark.parametrize(
    ("remoteaddr", "data", "printed"),
    [
        # A class derived from UnicodeError is printed by some versions, and a port that
        # is too large is another error to getaddrinfo from Python 3.12 on.
        (
            ("a" * 70 + ".invalid", 25),
            "",
            [UnicodeError, *UnicodeError.__subclasses__()],
        ),
        (("127.0.0.1", 1 << 70), "", [OverflowError, socket.gaierror]),
        (("127.0.0.1:x", 0), "", [OSError]),
        (("127.0.0.1", 25), "half a pair \ud800", [UnicodeEncodeError]),
    ],
    ids=["host", "large port", "no number", "text"],
)
def test_deliver_reports_what_cannot_be_connected_to_or_encoded(
    remoteaddr: Any, data: str, printed: list[type], monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = io.StringIO()
    with unserved(remoteaddr) as relay:
        monkeypatch.setattr(smtpd_compat, "DEBUGSTREAM", trace)
        refused = relay._deliver("from@x", [ALICE, BOB], data)
    assert refused == {ALICE: (-1, "ignore"), BOB: (-1, "ignore")}
    assert trace.getvalue() in [f"got {cls}\n" for cls in printed]


@pytest.mark.parametrize("has_poll", [True, False], ids=["poll", "select"])
@pytest.mark.parametrize("timeout", [PATIENCE, None])
def test_deliver_waits_by_poll_or_select_with_a_time_out_or_without(
    has_poll: bool, timeout: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_poll:
        monkeypatch.delattr(select, "poll", raising=False)
    body = "A: 1\n\n" + "x\n" * 1_000_000  # more than is sent at once
    with upstream() as server, unserved(server.address) as relay:
        relay.upstream_timeout = timeout
        assert relay._deliver("from@x", [ALICE], body) == {}
        assert len(server.messages[0].data) == len(body.replace("\n", "\r\n"))


@pytest.mark.skipif(not hasattr(select, "poll"), reason="nothing polls here")
@pytest.mark.parametrize("extensions", [(), ("PIPELINING",)], ids=["one", "all"])
def test_deliver_gives_each_reply_its_own_time(
    extensions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock stands still, but for two thirds of the time-out at each step."""
    now = [time.monotonic()]
    waits: list[float] = []

    class Poll:
        def __init__(self) -> None:
            self.poller = select.poll()
            self.register = self.poller.register

        def poll(self, milliseconds: float) -> Any:
            waits.append(milliseconds)
            return self.poller.poll(milliseconds)

    def take_long(argument: Any) -> None:
        now[0] += 200.0

    monkeypatch.setattr(
        _blocking, "time", types.SimpleNamespace(monotonic=lambda: now[0])
    )
    monkeypatch.setattr(
        _blocking,
        "select",
        types.SimpleNamespace(poll=Poll, POLLIN=select.POLLIN, POLLOUT=select.POLLOUT),
    )
    with upstream(dict.fromkeys(STEPS, take_long), extensions=extensions) as server:
        with unserved(server.address) as relay:
            relay.upstream_timeout = 300.0
            assert relay._deliver("from@x", [ALICE], "A: 1\n\n") == {}
    assert 0 < min(waits)
    assert waits[0] == pytest.approx(300_000.0)


def connect_by(cls: Any) -> Any:
    """What may stand in the place of create_connection, for sockets of *cls*."""

    def connect(address: Any, timeout: Any = None) -> socket.socket:
        sock = cls()
        sock.connect(address)
        return sock  # type: ignore[no-any-return]

    return connect


def test_deliver_gives_each_piece_of_a_message_its_own_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [time.monotonic()]

    class Slow(socket.socket):
        def send(self, data: Any, *args: Any) -> int:
            if len(data) > 1000:
                now[0] += 200.0
            return super().send(data, *args)

    monkeypatch.setattr(
        _blocking, "time", types.SimpleNamespace(monotonic=lambda: now[0])
    )
    body = "A: 1\n\n" + ("x" * 99 + "\n") * 3000
    with upstream() as server, unserved(server.address) as relay:
        with monkeypatch.context() as patch:
            patch.setattr(socket, "create_connection", connect_by(Slow))
            assert relay._deliver("from@x", [ALICE], body) == {}
    assert len(server.messages) == 1


def test_deliver_takes_leave_when_it_knows() -> None:
    with upstream({"QUIT": SILENT}) as server, unserved(server.address) as relay:
        assert relay._deliver("from@x", [ALICE], "A: 1\n\n") == {}
        server.wait_for(lambda: server.verbs()[-1] == "QUIT")


def test_deliver_does_without_a_leave_that_it_cannot_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class NoQuit(socket.socket):
        def send(self, data: Any, *args: Any) -> int:
            if bytes(data) == b"QUIT\r\n":
                raise BrokenPipeError(32, "gone")
            return super().send(data, *args)

    with upstream() as server, unserved(server.address) as relay:
        with monkeypatch.context() as patch:
            patch.setattr(socket, "create_connection", connect_by(NoQuit))
            assert relay._deliver("from@x", [ALICE], "A: 1\n\n") == {}
    assert len(server.messages) == 1


@pytest.mark.parametrize("has_poll", [True, False], ids=["poll", "select"])
def test_deliver_gives_a_silent_upstream_up_by_poll_or_select(
    has_poll: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_poll:
        monkeypatch.delattr(select, "poll", raising=False)
    with upstream({"DATA": SILENT}) as server, unserved(server.address) as relay:
        relay.upstream_timeout = 0.1
        refused = relay._deliver("from@x", [ALICE], "A: 1\n\n")
    assert refused == {ALICE: (-1, "ignore")}


class Breaks(socket.socket):
    """A connection that fails, and goes on failing."""

    def recv(self, *args: Any) -> bytes:
        raise TimeoutError("no route any more")


def test_deliver_reports_a_connection_that_fails_for_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with upstream() as server, unserved(server.address) as relay:
        with monkeypatch.context() as patch:
            patch.setattr(socket, "create_connection", connect_by(Breaks))
            refused = relay._deliver("from@x", [ALICE], "")
    assert refused == {ALICE: (-1, "ignore")}


@pytest.mark.skipif(not hasattr(select, "poll"), reason="select takes no more than it")
def test_deliver_works_with_more_descriptors_than_select_takes() -> None:
    with descriptors(2048), upstream() as server, unserved(server.address) as relay:
        with none_below(1100):
            assert relay._deliver("from@x", [ALICE], "A: 1\n\n") == {}
        assert recipients(server) == [ALICE]


def test_deliver_takes_a_single_recipient_as_smtplib_does() -> None:
    with upstream() as server, unserved(server.address) as relay:
        assert relay._deliver("from@x", ALICE, "A: 1\n\n") == {}
        assert recipients(server) == [ALICE]


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (None, (250, b"OK")),
        ({}, (250, b"OK")),
        ({ALICE: (450, b"later")}, (450, b"later")),
        ({ALICE: (-1, "ignore")}, UNAVAILABLE),
    ],
)
def test_the_reply_tells_what_an_overridden_deliver_returned(
    result: Any, expected: Any
) -> None:
    class Logging(smtpd_compat.PureProxy):
        def _deliver(self, mailfrom: Any, rcpttos: Any, data: Any) -> Any:  # type: ignore[override]
            assert (mailfrom, rcpttos) == ("from@x", [ALICE])
            assert data + b"\n" == RELAYED.replace(b"\r\n", b"\n")
            return result

    with proxy(("127.0.0.1", 9), Logging) as client:
        assert send(client, ALICE) == expected


@pytest.mark.filterwarnings("ignore:.*process_message:DeprecationWarning")
def test_an_old_process_message_can_call_deliver_with_text() -> None:
    class Filter(smtpd_compat.PureProxy):
        def process_message(  # type: ignore[override]
            self, peer: Any, mailfrom: Any, rcpttos: Any, data: Any
        ) -> Any:
            lines = data.split("\n")
            refused = self._deliver(mailfrom, rcpttos, "\n".join(lines))
            return f"553 {sorted(refused)}" if refused else None

    with upstream({"RCPT": Refusing(bob="550 no")}) as server:
        with proxy(server.address, Filter) as client:
            assert send(client, ALICE) == (250, b"OK")
            assert send(client, BOB) == (553, b"['bob@x']")
        assert [message.data for message in server.messages] == [MESSAGE]


@pytest.mark.parametrize("kwargs", [{}, {"decode_data": True}], ids=str)
def test_smtputf8_is_refused_as_the_original_refuses_it(kwargs: Any) -> None:
    with pytest.raises(ValueError, match=r"^PureProxy does not support SMTPUTF8\.$"):
        smtpd_compat.PureProxy(
            ("127.0.0.1", 0), None, map={}, enable_SMTPUTF8=True, **kwargs
        )


# A slow upstream


def test_fifty_messages_wait_for_upstream_at_the_same_time() -> None:
    """Upstream answers nobody before all fifty are there."""
    crowd = threading.Barrier(50)

    def when_all_are_here(accepted: object) -> str:
        crowd.wait(PATIENCE)
        return "250 taken"

    replies: list[Any] = []

    def client(number: int) -> None:
        host, port = address(relay)
        with smtplib.SMTP(host, port, timeout=PATIENCE) as connection:
            connection.ehlo()
            replies.append(send(connection, f"user{number}@x"))

    with upstream({"end of data": when_all_are_here}) as server:
        with serving(smtpd_compat.PureProxy, server.address) as relay:
            threads = [threading.Thread(target=client, args=(n,)) for n in range(50)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert sorted(recipients(server)) == sorted(f"user{n}@x" for n in range(50))
    assert replies == [(250, b"OK")] * 50


def test_while_upstream_keeps_one_client_waiting_the_others_are_served() -> None:
    asked, released = threading.Event(), threading.Event()

    def slowly(accepted: object) -> str:
        asked.set()
        assert released.wait(PATIENCE)
        return "250 taken"

    with upstream({"end of data": slowly}) as server:
        with serving(smtpd_compat.PureProxy, server.address) as relay:
            with smtplib.SMTP(*address(relay), timeout=PATIENCE) as slow:
                with smtplib.SMTP(*address(relay), timeout=PATIENCE) as other:
                    slow.ehlo()
                    slow.mail("from@x")
                    slow.rcpt(ALICE)
                    slow.docmd("DATA")
                    slow.send(MESSAGE + b".\r\n")
                    assert asked.wait(PATIENCE)
                    assert other.noop()[0] == 250
                    assert server.messages == []
                    released.set()
                    assert slow.getreply() == (250, b"OK")
        assert recipients(server) == [ALICE]


def test_a_debug_stream_that_fails_does_not_undo_what_was_delivered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Full:
        def write(self, text: str) -> None:
            raise OSError("no space left on device")

    monkeypatch.setattr(smtpd_compat, "DEBUGSTREAM", Full())
    relay = smtpd_compat.PureProxy.__new__(smtpd_compat.PureProxy)
    relay._deliver = lambda *args: {"c@d": (550, b"no")}  # type: ignore[method-assign]
    reply = relay.process_message(("c", 1), "a@b", ["b@d", "c@d"], b"x")
    assert reply is not None
    assert reply.startswith("554")


def test_the_settings_of_the_class_are_those_in_its_documentation() -> None:
    cls = smtpd_compat.PureProxy
    assert (cls.worker_threads, cls.upstream_timeout) == (64, 300.0)
    assert (cls.upstream_sessions, cls.upstream_keep) == (256, 5.0)
    assert (cls.upstream_queue, cls.upstream_queue_timeout) == (4096, 120.0)
