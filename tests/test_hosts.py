"""Names of hosts: ours and a peer's; and where to listen."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from functools import partial
from unittest import mock

import pytest

import smtpd_compat
from smtpd_compat._hosts import family_and_type, has_ended, host_name, peer_host
from tests.support.fresh import fresh
from tests.support.threads import in_threads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


# Our name


def test_the_hosts_name_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    name = host_name()
    monkeypatch.setattr(smtpd_compat.socket, "gethostbyaddr", None)
    with pytest.raises(TypeError):
        smtpd_compat.socket.getfqdn()
    assert host_name() == name


def test_a_host_that_is_renamed_has_another_name() -> None:
    name = host_name()
    with mock.patch("socket.gethostname", return_value="renamed.invalid"):
        assert host_name() == "renamed.invalid"
    assert host_name() == name


def test_another_getfqdn_is_asked_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    names = iter(["one.test", "two.test"])
    monkeypatch.setattr(smtpd_compat.socket, "getfqdn", lambda: next(names))
    assert [host_name() for _ in range(2)] == ["one.test", "two.test"]


def test_a_name_that_was_patched_while_loading_is_forgotten() -> None:
    program = (
        "import socket, smtpd_compat as smtpd\n"
        "real, socket.getfqdn = socket.getfqdn, lambda: 'patched'\n"
        "from smtpd_compat._hosts import host_name\n"
        "print(host_name())\n"
        "socket.getfqdn = real\n"
        "print(host_name() == real())\n"
    )
    assert fresh(program) == "patched\nTrue\n"


def test_a_host_without_a_name_of_its_own_has_the_one_that_is_found() -> None:
    program = (
        "import socket, smtpd_compat\n"
        "socket.gethostname = lambda: ''\n"
        "socket.gethostbyaddr = lambda name: ('found.test', [], [])\n"
        "from smtpd_compat._hosts import host_name\n"
        "print(host_name(), socket.getfqdn())\n"
    )
    assert fresh(program) == "found.test found.test\n"


def test_threads_that_ask_for_names_at_once_each_get_their_own() -> None:
    """One finds the name of another host noted, between its look and its use of it."""
    wrong = []
    names = threading.local()

    def ask(name: str) -> None:
        names.name = name
        for _ in range(300):
            if host_name() != name:
                wrong.append(name)

    own_name = host_name()
    with mock.patch("socket.gethostname", lambda: getattr(names, "name", "here")):
        in_threads([partial(ask, f"{letter}.invalid") for letter in "abcd"])
    assert wrong == []
    assert host_name() == own_name


# A peer's


@pytest.mark.parametrize(
    "peer, host",
    [
        (("192.0.2.1", 25), "192.0.2.1"),
        (("::1", 25, 0, 0), "::1"),
        ("", None),
        (b"", None),
        (None, None),
    ],
)
def test_the_peers_host_is_none_for_a_unix_socket(peer: Any, host: Any) -> None:
    assert peer_host(peer) == host


# Whether it has left

KINDS_OF_LOOK = pytest.mark.parametrize(
    "has_poll",
    [
        pytest.param(
            True,
            marks=pytest.mark.skipif(
                not hasattr(select, "POLLRDHUP"), reason="poll tells of no end here"
            ),
        ),
        False,
    ],
    ids=["poll", "peek"],
)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        yield ours, theirs


def look(sock: Any, has_poll: bool) -> bool:
    with pytest.MonkeyPatch.context() as patch:
        if not has_poll:
            patch.delattr(select, "POLLRDHUP", raising=False)
        return has_ended(sock)


@KINDS_OF_LOOK
@pytest.mark.parametrize("unread", [b"", b"QUIT\r\n"])
def test_a_peer_that_is_there_has_not_ended(
    has_poll: bool, unread: bytes, pair: Any
) -> None:
    ours, theirs = pair
    theirs.sendall(unread)
    assert look(ours, has_poll) is False
    assert unread == (ours.recv(100) if unread else b"")


@KINDS_OF_LOOK
@pytest.mark.parametrize("unread", [b"", b"QUIT\r\n"])
@pytest.mark.parametrize("how", ["close", "no more"])
def test_a_peer_that_has_closed_its_side_has_ended(
    has_poll: bool, unread: bytes, how: str, pair: Any
) -> None:
    """What only peeks cannot see past what is unread."""
    ours, theirs = pair
    theirs.sendall(unread)
    theirs.close() if how == "close" else theirs.shutdown(socket.SHUT_WR)
    assert look(ours, has_poll) is (has_poll or not unread)


@KINDS_OF_LOOK
def test_what_is_closed_or_no_socket_has_not_ended(has_poll: bool, pair: Any) -> None:
    ours, _ = pair
    ours.close()
    for sock in (ours, None, object(), mock.Mock(spec=["fileno"])):
        assert look(sock, has_poll) is False


# Where to listen


@pytest.mark.parametrize(
    "host, family",
    [("", socket.AF_INET), ("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)],
)
def test_the_family_of_a_socket_is_the_hosts(host: str, family: int) -> None:
    assert family_and_type((host, 0)) == (family, socket.SOCK_STREAM)


@pytest.mark.parametrize("first", [socket.AF_INET, socket.AF_INET6])
def test_of_several_addresses_of_a_host_the_first_counts(
    first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = socket.AF_INET6 if first == socket.AF_INET else socket.AF_INET
    found = [(family, socket.SOCK_STREAM, 6, "", ("", 0)) for family in (first, second)]
    monkeypatch.setattr(smtpd_compat.socket, "getaddrinfo", lambda *_, **__: found)
    assert family_and_type(("localhost", 0)) == (first, socket.SOCK_STREAM)


def test_an_address_of_a_host_is_one_for_streams(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def found(host: str, port: int, type: int = 0) -> list[Any]:
        kinds = (socket.SOCK_DGRAM, socket.SOCK_STREAM)
        return [
            (socket.AF_INET, kind, 0, "", (host, port))
            for kind in kinds
            if type in (0, kind)
        ]

    monkeypatch.setattr(smtpd_compat.socket, "getaddrinfo", found)
    assert family_and_type(("mx.test", 25)) == (socket.AF_INET, socket.SOCK_STREAM)


def test_a_host_that_is_unknown_is_an_error() -> None:
    with pytest.raises(OSError):
        family_and_type(("no such host", 0))
