"""Private names of 3.1 and socket methods of 2.x, which programs still use."""

from __future__ import annotations

import inspect
import re
import socket
import warnings
from unittest import mock

import pytest

import smtpd_compat
from smtpd_compat import asynchat
from tests.support.conversing import OK, TOO_MUCH
from tests.support.keeping import deliver, serving_with
from tests.support.talking import connected

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

pytestmark = pytest.mark.usefixtures("heard")


@pytest.fixture
def channel() -> Iterator[Any]:
    ours, theirs = socket.socketpair()
    server = mock.Mock()
    channel = smtpd_compat.SMTPChannel(server, ours, "address", map={})
    yield channel
    channel.close()
    theirs.close()


# Private names


OLD_NAMES = {
    "server": "smtp_server",
    "line": "received_lines",
    "state": "smtp_state",
    "greeting": "seen_greeting",
    "mailfrom": "mailfrom",
    "rcpttos": "rcpttos",
    "data": "received_data",
    "fqdn": "fqdn",
    "peer": "peer",
    "conn": "conn",
    "addr": "addr",
}


@pytest.mark.parametrize("old", OLD_NAMES)
def test_private_name_of_3_1_is_read_and_assigned_with_a_warning_at_the_line(
    old: str, channel: Any, heard: list[warnings.WarningMessage]
) -> None:
    new, private = OLD_NAMES[old], "_SMTPChannel__" + old
    assert getattr(channel, private) is getattr(channel, new)
    marker = object()
    setattr(channel, private, marker)
    assert getattr(channel, new) is marker
    assert [str(w.message) for w in heard] == [
        f"{what} __{old} attribute on SMTPChannel is deprecated, {do} {new!r} instead"
        for what, do in (("Access to", "use"), ("Setting", "set"))
    ]
    assert {w.filename for w in heard} == {__file__}


@pytest.mark.parametrize(
    ("keyword", "argument", "address"),
    [
        ("FROM:", "FROM:<a@b.c>", "a@b.c"),
        ("FROM:", "from: a@b.c", "a@b.c"),
        ("FROM:", "FROM:<>", "<>"),
        ("TO:", 'TO:<"a b"@c>', '"a b"@c'),
        ("TO:", "TO:<nodomain>", "nodomain"),
        ("TO:", "TO:", None),
        ("TO:", "FROM:<a@b.c>", None),
        ("TO:", "", None),
        ("TO:", None, None),
    ],
)
def test_getaddr_of_3_2_finds_the_mailbox(
    keyword: str, argument: Any, address: Any, channel: Any
) -> None:
    assert channel._SMTPChannel__getaddr(keyword, argument) == address


# The socket's methods


def test_socket_methods_of_2_x_are_the_dispatchers_with_a_warning_at_the_line(
    channel: Any, heard: list[warnings.WarningMessage]
) -> None:
    assert channel.getsockname() == channel.socket.getsockname()
    assert channel.fileno() == channel.socket.fileno()
    assert re.match("SMTPChannel.getsockname is deprecated", str(heard[0].message))
    assert heard[0].filename == __file__


@pytest.mark.parametrize(
    "name",
    [
        "connect_ex",
        "dup",
        "family",
        "fileno",
        "getpeername",
        "getsockname",
        "getsockopt",
        "gettimeout",
        "makefile",
        "proto",
        "recv_into",
        "recvfrom",
        "recvfrom_into",
        "sendall",
        "sendto",
        "setblocking",
        "setsockopt",
        "settimeout",
        "shutdown",
        "type",
    ],
)
def test_what_a_socket_of_2_7_had_a_dispatcher_has(name: str, channel: Any) -> None:
    assert getattr(channel, name) == getattr(channel.socket, name)


@pytest.mark.parametrize(
    "name", ["timeout", "detach", "sendfile", "nothing", "_accept"]
)
def test_what_no_socket_of_2_x_had_is_no_attribute_of_a_dispatcher(
    name: str, channel: Any, heard: list[warnings.WarningMessage]
) -> None:
    with pytest.raises(AttributeError, match=name):
        getattr(channel, name)
    assert heard == []


def test_attribute_of_a_dispatcher_without_socket_is_an_attribute_error(
    heard: list[warnings.WarningMessage],
) -> None:
    channel = smtpd_compat.SMTPChannel.__new__(smtpd_compat.SMTPChannel)
    for socket_or_none in ({}, {"socket": None}):
        vars(channel).update(socket_or_none)
        with pytest.raises(AttributeError, match="SMTPChannel.*getsockname"):
            channel.getsockname()  # type: ignore[attr-defined]
    assert heard == []


# Attributes that every channel has


def test_a_channel_that_sets_itself_up_has_what_init_would_have_set() -> None:
    class SetsItselfUp(smtpd_compat.SMTPChannel):
        data_size_limit = 10

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self.smtp_server, conn, _, _, map, *_ = args
            self.seen_greeting = "before"
            asynchat.async_chat.__init__(self, conn, map=map)
            self.peer = self.fqdn = "mine"
            self.set_terminator(b"\r\n")
            self.push("220 ready")

    with serving_with(SetsItselfUp) as server, connected(server) as client:
        (channel,) = (c for c in server._map.values() if hasattr(c, "smtp_server"))
        assert channel.seen_greeting == "before"
        assert (channel.smtp_state, channel.received_lines) == (channel.COMMAND, [])
        assert (channel.mailfrom, channel.rcpttos) == (None, [])
        assert deliver(client) == OK
        SetsItselfUp.data_size_limit = 9
        assert deliver(client) == TOO_MUCH
    assert server.messages == [b"Subject: x"]


def test_a_channel_that_sets_nothing_has_what_init_would_have_set() -> None:
    class SetsNothing(smtpd_compat.SMTPChannel):
        def __init__(self) -> None:
            asynchat.async_chat.__init__(self, map={})
            self.set_terminator(b"\r\n")

    channel = SetsNothing()
    assert (channel.smtp_state, channel.num_bytes) == (channel.COMMAND, 0)
    assert (channel.received_lines, channel.received_data) == ([], "")
    assert (channel.seen_greeting, channel.extended_smtp) == ("", False)
    assert (channel.mailfrom, channel.rcpttos) == (None, [])
    assert (channel.mail_options, channel.rcpt_options) == ([], [])
    assert channel.data_size_limit == smtpd_compat.DATA_SIZE_DEFAULT
    assert (channel.enable_SMTPUTF8, channel.require_SMTPUTF8) == (False, False)


def test_a_line_is_read_by_its_old_name_before_anything_is_set_up() -> None:
    channel: Any = smtpd_compat.SMTPChannel.__new__(smtpd_compat.SMTPChannel)
    channel._SMTPChannel__line = lines = [b"its own"]
    assert channel._SMTPChannel__line is lines
    assert lines == [b"its own"]


# Names that somebody else has


class _Stoppable:
    family = "Smith"

    def shutdown(self) -> str:
        return "mine"


class _Stops(smtpd_compat.SMTPServer, _Stoppable):
    type = "own"


def test_a_mixins_name_counts_before_the_sockets(
    heard: list[warnings.WarningMessage],
) -> None:
    server = _Stops(("127.0.0.1", 0), None, map={})
    try:
        assert server.shutdown() == "mine"
        assert (server.family, server.type, _Stops.family) == ("Smith", "own", "Smith")
        assert {"shutdown", "family", "type"} <= set(dir(server))
        assert not {"getsockname", "fileno"} & set(dir(server))
    finally:
        server.close()
    assert heard == []


def test_what_a_mixins_name_raises_is_raised() -> None:
    class Fails:
        @property
        def family(self) -> str:
            raise LookupError("no family")

    class Server(smtpd_compat.SMTPServer, Fails):  # type: ignore[misc]
        pass

    server = Server(("127.0.0.1", 0), None, map={})
    try:
        with pytest.raises(LookupError, match="no family"):
            server.family  # noqa: B018
    finally:
        server.close()


def test_to_look_at_all_of_a_server_warns_of_nothing(
    heard: list[warnings.WarningMessage],
) -> None:
    server = smtpd_compat.SMTPServer(("127.0.0.1", 0), None, map={})
    inspect.getmembers(server)
    server.close()
    assert heard == []
