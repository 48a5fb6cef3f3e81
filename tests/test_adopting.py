"""Channel classes of three arguments: what they are not given, they adopt."""

from __future__ import annotations

import pytest

import smtpd_compat
from smtpd_compat import asyncore
from tests.support.conversing import OK, TOO_MUCH, TRANSACTION
from tests.support.keeping import Channel, Server
from tests.support.serving import address
from tests.support.talking import Client, on_stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tests.support.talking import Stage

pytestmark = pytest.mark.usefixtures("heard")


class ThreeArguments(Channel):
    def __init__(self, server: Any, conn: Any, addr: Any) -> None:
        super().__init__(server, conn, addr)


class HasALimit(ThreeArguments):
    def __init__(self, server: Any, conn: Any, addr: Any) -> None:
        super().__init__(server, conn, addr)
        self.data_size_limit = 4


class Serves(Server):
    channel_class = ThreeArguments


def deliver(stage: Stage, client: Any, line: bytes) -> bytes:
    for command in (b"EHLO x", *TRANSACTION, b"DATA"):
        stage.say(client, command)
    return stage.say(client, line + b"\r\n.")


@pytest.mark.parametrize("limit", [10, 40_000_000])
def test_the_servers_size_limit_holds(limit: int) -> None:
    with on_stage(Serves, limit) as stage, stage.connect() as client:
        assert b"250-SIZE %d\r\n" % limit in stage.say(client, b"EHLO x")
        assert deliver(stage, client, b"ten octets") == OK
        over = TOO_MUCH if limit == 10 else OK
        assert deliver(stage, client, b"ten octets.") == over


class TakesTheLimit(Channel):
    def __init__(self, server: Any, conn: Any, addr: Any, data_size_limit: Any) -> None:
        super().__init__(server, conn, addr, data_size_limit)


@pytest.mark.parametrize("limit", [10, smtpd_compat.DATA_SIZE_DEFAULT, 40_000_000])
def test_a_limit_that_the_channel_is_given_holds(limit: int) -> None:
    with on_stage(Serves, limit) as stage:
        stage.server.channel_class = TakesTheLimit
        with stage.connect() as client:
            assert b"250-SIZE %d\r\n" % limit in stage.say(client, b"EHLO x")
            assert stage.channels[0].data_size_limit == limit


class ClosesAtOnce(ThreeArguments):
    def __init__(self, server: Any, conn: Any, addr: Any) -> None:
        super().__init__(server, conn, addr)
        self.close()


def test_a_channel_that_has_closed_already_does_not_enter_the_servers_map() -> None:
    with on_stage(Serves) as stage:
        stage.server.channel_class = ClosesAtOnce
        with Client(address(stage.server)) as client:
            stage.until(client.has_input)
            client.rest()
            assert set(stage.map.values()) == {stage.server}
            assert stage.server.errors == []


def test_a_limit_of_the_channels_own_holds_before_the_servers() -> None:
    with on_stage(Serves, 10) as stage:
        stage.server.channel_class = HasALimit
        with stage.connect() as client:
            assert deliver(stage, client, b"four") == OK
            assert deliver(stage, client, b"fives") == TOO_MUCH


def test_decode_data_holds() -> None:
    with on_stage(Serves, decode_data=True) as stage, stage.connect() as client:
        assert b"8BITMIME" not in stage.say(client, b"EHLO x")
        assert deliver(stage, client, "z\xf6".encode()) == OK
        (message,) = stage.server.messages
        assert (message.data, message.options) == ("z\xf6", {})
        (channel,) = stage.channels
        assert channel._emptystring == ""


def test_smtputf8_holds() -> None:
    with on_stage(Serves, enable_SMTPUTF8=True) as stage, stage.connect() as client:
        assert b"SMTPUTF8" in stage.say(client, b"EHLO x")
        assert stage.say(client, b"MAIL FROM:<a@b> SMTPUTF8") == OK
        assert stage.say(client, "RCPT TO:<z\xf6@d>".encode()) == OK


def test_the_servers_map_is_the_channels() -> None:
    with on_stage(Serves) as stage, stage.connect():
        (channel,) = stage.channels
        assert channel._map is stage.map
        assert channel not in asyncore.socket_map.values()


def test_a_channel_that_fails_before_it_has_adopted_the_map_leaves_it() -> None:
    class Fails(ThreeArguments):
        def __init__(self, server: Any, conn: Any, addr: Any) -> None:
            super().__init__(server, conn, addr)
            assert asyncore.socket_map[self._fileno] is self
            failed.append(self)
            raise ValueError("no")

    failed: list[Any] = []

    with on_stage(Server) as stage:
        stage.server.channel_class = Fails
        with Client(address(stage.server)) as client:
            assert stage.rest(client).endswith(
                b"421 Service not available, try again later\r\n"
            )
        assert "ValueError" in stage.server.errors[0]
        assert failed[0] not in asyncore.socket_map.values()


def test_a_channel_that_is_not_ours_is_served() -> None:
    class Echo(asyncore.dispatcher):
        def __init__(self, server: Any, conn: Any, addr: Any) -> None:
            super().__init__(conn, server._map)
            self.send(b"220 anything\r\n")

        def handle_read(self) -> None:
            self.send(b"250 " + self.recv(100))

        def handle_close(self) -> None:
            self.close()

        def writable(self) -> bool:
            return False

    with on_stage(Server) as stage:
        stage.server.channel_class = Echo
        with stage.connect() as client:
            assert stage.say(client, b"hello") == b"250 hello\r\n"
        assert stage.server.errors == []


def test_a_constructor_that_fails_inside_is_called_once() -> None:
    made = []

    class Fails(smtpd_compat.SMTPChannel):
        def __init__(self, server: Any, conn: Any, addr: Any) -> None:
            made.append(self)
            ThreeArguments.__init__(self, server, conn, addr, 33554432)  # type: ignore

    with on_stage(Server) as stage:
        stage.server.channel_class = Fails
        with pytest.raises(AssertionError):
            stage.connect()
        assert len(made) == 1
        assert "takes 4 positional arguments but 5 were given" in stage.server.errors[0]
