"""Listening: the socket that outlives everything, crowds, and limits."""

from __future__ import annotations

import contextlib
import errno
import os
import smtplib
import socket
import sys
import threading
import time
from typing import Any, Dict

import pytest

import smtpd_compat
from smtpd_compat import asyncore
from smtpd_compat._clients import channels_of
from tests.support.clock import tell
from tests.support.conversing import MESSAGE, OK
from tests.support.descriptors import descriptors, no_descriptors_left, none_below
from tests.support.fresh import fresh
from tests.support.keeping import Channel, Server
from tests.support.loops import LOOPS, own_loop_on_select, poll_loop
from tests.support.serving import address, looping, serving
from tests.support.talking import PATIENCE, Client, Stage, connected, on_stage

# Starting


def test_a_server_cannot_decode_and_offer_smtputf8_at_once() -> None:
    with pytest.raises(ValueError, match="cannot be set to True at the same time"):
        Server(("127.0.0.1", 0), None, enable_SMTPUTF8=True, decode_data=True)
    assert asyncore.socket_map == {}


def test_a_server_that_cannot_listen_leaves_no_socket_behind() -> None:
    taken = socket.socket()
    with taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError):
            Server(taken.getsockname(), None)
    assert asyncore.socket_map == {}


def test_a_server_starts_in_the_map_that_it_is_given() -> None:
    map: dict[int, Any] = {}
    server = Server(("127.0.0.1", 0), None, map=map)
    assert list(map.values()) == [server]
    assert asyncore.socket_map == {}
    server.close()
    assert map == {}


def test_a_server_without_a_map_uses_asyncores_own() -> None:
    server = Server(("127.0.0.1", 0), None)
    assert list(asyncore.socket_map.values()) == [server]
    server.close()


@pytest.mark.parametrize("host, warns", [("", True), ("127.0.0.1", False)])
def test_a_server_keeps_its_addresses_and_tells_of_an_empty_host(
    host: str, warns: bool, heard: Any
) -> None:
    server = Server((host, 0), ("upstream.example.com", 25), map={})
    try:
        assert server._localaddr == (host, 0)
        assert server._remoteaddr == ("upstream.example.com", 25)
        assert server.socket.getsockname()[0] == (host or "0.0.0.0")
        if os.name == "posix":
            assert server.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    finally:
        server.close()
    told = ["asked to listen on ''" in str(warning.message) for warning in heard]
    assert told == [True] * warns


def test_a_server_that_sets_itself_up_serves_as_its_class_says() -> None:
    class SetsItselfUp(Server):
        def __init__(self, localaddr: Any, remoteaddr: Any, map: Any) -> None:
            self.messages, self.errors = [], []
            asyncore.dispatcher.__init__(self, map=map)
            self.create_socket()
            self.bind(localaddr)
            self.listen(5)

    with serving(SetsItselfUp) as server, connected(server) as client:
        offered = [line[4:] for line in client.say(b"EHLO x").splitlines()]
        assert offered[1:] == [b"SIZE 33554432", b"8BITMIME", b"HELP"]
        client.send(MESSAGE)
        assert client.replies(4)[-1] == OK
    assert [message.data for message in server.messages] == [b"hello"]


def test_process_message_has_to_be_overridden() -> None:
    server = smtpd_compat.SMTPServer(("127.0.0.1", 0), None)
    try:
        with pytest.raises(NotImplementedError):
            server.process_message(("h", 1), "a@b", ["c@d"], b"x")
    finally:
        server.close()


@LOOPS
def test_mail_from_smtplib_arrives(loop: Any) -> None:
    with serving(Server, loop=loop) as server:
        with smtplib.SMTP(*address(server)) as client:
            assert client.sendmail("a@b", ["c@d", "e@f"], b"Subject: x\r\n\r\ny") == {}
            where = client.sock.getsockname()
    (message,) = server.messages
    assert message.peer == where
    assert (message.mailfrom, message.rcpttos) == ("a@b", ["c@d", "e@f"])
    assert message.data == b"Subject: x\n\ny"


def test_ipv6_is_served_where_there_is_some() -> None:
    try:
        socket.socket(socket.AF_INET6).close()
        serves = serving(Server, localaddr=("::1", 0))
        with serves as server:
            with Client(server.socket.getsockname(), socket.AF_INET6) as client:
                assert client.reply().startswith(b"220 ")
    except OSError as error:
        pytest.skip(f"no IPv6: {error}")


# The socket that outlives everything


@LOOPS
@pytest.mark.parametrize(
    "error", [ValueError("no"), TypeError(), OSError(errno.EBADF, "")]
)
@pytest.mark.parametrize("half_built", [False, True])
def test_a_channel_class_that_raises_leaves_the_server_listening(
    half_built: bool, error: Exception, loop: Any
) -> None:
    class Raises(Channel):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            if half_built:
                super().__init__(*args, **kwargs)
            raise error

    with on_stage(Server, loop=loop) as stage:
        with stage.connect() as client:
            stage.server.channel_class = Raises
            with Client(address(stage.server)) as unlucky:
                heard = stage.rest(unlucky)
            assert heard.endswith(b"421 Service not available, try again later\r\n")
            assert len(stage.channels) == 1
            assert len(stage.server.errors) == 1
            assert stage.say(client, b"NOOP") == OK
            stage.server.channel_class = Channel
            with stage.connect() as other:
                assert stage.say(other, b"NOOP") == OK


def test_a_channel_of_three_arguments_that_raises_leaves_no_socket_behind() -> None:
    """It has put itself into asyncore's own map."""

    class Raises(Channel):
        def __init__(self, server: Any, conn: Any, addr: Any) -> None:
            super().__init__(server, conn, addr)
            raise ValueError("no")

    with on_stage(Server) as stage:
        stage.server.channel_class = Raises
        with Client(address(stage.server)) as unlucky:
            assert b"421 Service not available" in stage.rest(unlucky)
        assert asyncore.socket_map == {}
        assert list(stage.map.values()) == [stage.server]


@pytest.mark.parametrize("leaves", [asyncore.ExitNow, SystemExit, KeyboardInterrupt])
def test_a_channel_class_that_leaves_the_loop_leaves_no_socket_behind(
    leaves: type[BaseException],
) -> None:
    class Leaves(Channel):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            raise leaves()

    class Serves(Server):
        channel_class = Leaves

    with on_stage(Serves) as stage:
        with Client(address(stage.server)) as client:
            with pytest.raises(leaves):
                stage.until(lambda: False)
            assert stage.channels == []
            assert b"421" in client.rest()


@pytest.mark.parametrize(
    "number", [errno.ENOTCONN, errno.EINVAL, errno.ECONNRESET, errno.EPERM, errno.EBADF]
)
@pytest.mark.parametrize("call", [1, 2])
@LOOPS
def test_a_peer_gone_before_getpeername_leaves_the_server_listening(
    loop: Any, call: int, number: int
) -> None:
    class Gone(socket.socket):
        calls = 0

        def getpeername(self) -> Any:
            self.calls += 1
            if self.calls >= call:
                raise OSError(number, os.strerror(number))
            return super().getpeername()

    class Accepts(Server):
        gone = 0

        def accept(self) -> Any:
            pair = super().accept()
            if pair is None or self.gone:
                return pair
            self.gone += 1
            return Gone(fileno=pair[0].detach()), pair[1]

    with on_stage(Accepts, loop=loop) as stage:
        with Client(address(stage.server)) as client:
            assert b"220" not in stage.rest(client)
            assert stage.channels == []
        with stage.connect() as client:
            assert stage.say(client, b"NOOP") == OK
        # asyncore, which asks first, takes a reset for an error.
        is_error = number in (errno.EPERM, errno.EBADF) or (
            number == errno.ECONNRESET and call == 1
        )
        assert len(stage.server.errors) == is_error


@LOOPS
def test_a_client_that_resets_before_it_is_accepted_is_no_error(loop: Any) -> None:
    with on_stage(Server, loop=loop) as stage:
        for _ in range(20):
            Client(address(stage.server)).vanish()
        stage.until(lambda: not stage.channels)
        with stage.connect() as client:
            assert stage.say(client, b"NOOP") == OK
        assert stage.channels
        assert stage.server.errors == []


@LOOPS
@pytest.mark.parametrize(
    "number", [errno.ECONNABORTED, errno.EPROTO, errno.ENETDOWN, errno.EPERM]
)
def test_an_error_in_accept_leaves_the_server_listening(loop: Any, number: int) -> None:
    class Fails(socket.socket):
        fails = 1

        def accept(self) -> Any:
            if self.fails:
                self.fails -= 1
                raise OSError(number, os.strerror(number))
            return super().accept()

    with on_stage(Server, loop=loop) as stage:
        server = stage.server
        server.socket = Fails(fileno=server.socket.detach())
        server.socket.setblocking(False)  # PyPy's blocks again
        with stage.connect() as client:
            assert stage.say(client, b"NOOP") == OK


def test_a_handle_error_patched_into_asyncore_hears_of_the_servers_errors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard: list[Any] = []
    monkeypatch.setattr(
        asyncore.dispatcher, "handle_error", lambda dispatcher: heard.append(dispatcher)
    )

    class Fails(Server):
        def handle_accepted(self, conn: Any, addr: Any) -> None:
            conn.close()
            raise ValueError("no")

    with on_stage(Fails) as stage, Client(address(stage.server)):
        stage.until(lambda: heard)
        assert heard == [stage.server]
        assert stage.server.errors == []


def test_an_overridden_handle_error_of_the_server_has_the_last_word() -> None:
    class Raises(Channel):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            raise ValueError("no")

    class Closes(Server):
        channel_class = Raises

        def handle_error(self) -> None:
            self.errors.append("mine")
            self.close()

    with on_stage(Closes) as stage:
        with Client(address(stage.server)):
            stage.until(lambda: not stage.map)
        assert stage.server.errors == ["mine"]


# No descriptors left


def connecting(stage: Stage) -> Client:
    """A client that the server has not accepted yet."""
    return Client(address(stage.server))


class CountsAccepts(Server):
    accepts = 0

    def accept(self) -> Any:
        self.accepts += 1
        return super().accept()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The server's clock, which stands still unless the test moves it."""
    now = [time.monotonic()]
    tell(monkeypatch, lambda: now[0])
    return now


@LOOPS
def test_without_descriptors_the_server_waits_and_goes_on(
    loop: Any, clock: list[float]
) -> None:
    with on_stage(CountsAccepts, loop=loop) as stage, connecting(stage) as client:
        stage.turn()  # what is imported at first use is imported now
        client.reply()
        with Client(address(stage.server)) as waiting:
            with no_descriptors_left() as give_back:
                stage.server.accepts = 0
                stage.turn(timeout=0.01)
                assert stage.server.accepts == 1
                # It does not try in every turn, and the others are served.
                for _ in range(5):
                    client.send(b"NOOP\r\n")
                    stage.turn(timeout=0.01)
                    assert client.reply() == OK
                assert stage.server.accepts == 1
                clock[0] += 1
                stage.turn(timeout=0.01)
                assert stage.server.accepts == 2
                give_back()
            stage.turn(timeout=0.01)
            assert not waiting.has_input()
            clock[0] += 1
            stage.turn(timeout=0.01)
            assert waiting.reply().startswith(b"220 ")
        assert stage.server.errors == []


@LOOPS
def test_without_descriptors_one_that_comes_free_is_used_at_once(
    loop: Any, clock: list[float]
) -> None:
    with on_stage(CountsAccepts, loop=loop) as stage, connecting(stage) as client:
        stage.turn()
        client.reply()
        with Client(address(stage.server)) as waiting, no_descriptors_left():
            stage.turn(timeout=0.01)
            assert not waiting.has_input()
            client.send(b"QUIT\r\n")
            stage.turn(4, timeout=0.01)
            assert waiting.reply().startswith(b"220 ")


class RunsOut(socket.socket):
    """A listening socket whose accept fails *failures* times."""

    code = 0
    failures = 0

    def accept(self) -> Any:
        if self.failures:
            self.failures -= 1
            raise OSError(self.code, "cannot accept")
        return super().accept()


@LOOPS
@pytest.mark.parametrize("name", ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EPERM"])
def test_what_the_machine_has_run_out_of_may_come_back(
    name: str, loop: Any, clock: list[float]
) -> None:
    """Any other error is the server's, which goes on all the same."""
    with on_stage(Server, loop=loop) as stage:
        listening = RunsOut(fileno=stage.server.socket.detach())
        listening.setblocking(False)
        listening.code, listening.failures = getattr(errno, name), 1
        stage.server.socket = listening
        with Client(address(stage.server)) as client:
            stage.turn(timeout=1)
            assert listening.failures == 0
            assert len(stage.server.errors) == (name == "EPERM")
            clock[0] += 1
            stage.until(client.has_input)
            assert client.reply().startswith(b"220 ")


@LOOPS
def test_what_the_machine_has_run_out_of_is_logged_as_a_warning(loop: Any) -> None:
    logged: list[tuple[str, str]] = []

    class Logs(Server):
        def log_info(self, message: str, type: str = "info") -> None:
            logged.append((message, type))

    with on_stage(Logs, loop=loop) as stage:
        listening = RunsOut(fileno=stage.server.socket.detach())
        listening.setblocking(False)
        listening.code, listening.failures = errno.EMFILE, 1
        stage.server.socket = listening
        with Client(address(stage.server)):
            stage.turn(timeout=1)
    ((message, type),) = logged
    assert "cannot accept" in message
    assert type == "warning"


@LOOPS
def test_without_descriptors_the_loop_is_not_kept_busy(loop: Any) -> None:
    with on_stage(CountsAccepts, loop=loop) as stage:
        stage.turn()
        with Client(address(stage.server)), no_descriptors_left():
            stage.turn(timeout=0.01)
            before = time.monotonic()
            # Somebody waits to be accepted, and nothing happens.
            stage.turn(timeout=0.1)
            assert time.monotonic() - before > 0.08


@pytest.mark.parametrize("timeout", [30.0, None])
@LOOPS
def test_without_descriptors_the_server_is_asked_again_though_nothing_else_happens(
    loop: Any, timeout: Any
) -> None:
    """Another part of the program gives descriptors back, which nothing tells."""

    def waits(map: dict[int, Any], **_: Any) -> None:
        loop(map=map, timeout=timeout)

    def fails(server: Any) -> None:
        failed.set()
        raise OSError(errno.EMFILE, "Too many open files")

    failed = threading.Event()
    with serving(Server, loop=waits) as server:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(asyncore.dispatcher, "accept", fails)
            waiting = Client(address(server))
            assert failed.wait(PATIENCE)
        with waiting:
            assert waiting.reply().startswith(b"220 ")


def test_two_servers_without_descriptors_do_not_keep_each_other_busy() -> None:
    with on_stage(CountsAccepts) as stage:
        other = CountsAccepts(("127.0.0.1", 0), None, map=stage.map)
        stage.turn()
        with Client(address(stage.server)), Client(address(other)):
            with no_descriptors_left():
                stage.turn(timeout=0.01)
                assert (stage.server.accepts, other.accepts) == (1, 1)
                before = time.monotonic()
                stage.turn(timeout=30)
                assert time.monotonic() - before > 0.08


# Crowds


@LOOPS
def test_500_clients_that_connect_at_once_are_all_served(loop: Any) -> None:
    """None of them has to wait for a SYN to be repeated, so all connect before the
    first is accepted."""
    with open("/proc/sys/net/core/somaxconn") as setting:
        if int(setting.read()) < 500:
            pytest.skip("the system's own backlog is shorter")
    with descriptors(4096), contextlib.ExitStack() as cleanup:
        map: dict[int, Any] = {}
        server = Server(("127.0.0.1", 0), None, map=map)
        cleanup.callback(server.close)
        clients = []
        for _ in range(500):
            client = socket.socket()
            cleanup.callback(client.close)
            client.setblocking(False)
            assert client.connect_ex(address(server)) in (0, errno.EINPROGRESS)
            clients.append(client)
        for client in clients:
            # A SYN that was dropped is repeated after a second.
            client.settimeout(0.5)
            assert client.connect_ex(address(server)) in (0, errno.EISCONN)
            client.settimeout(20)
        taken = 0
        with looping(map, loop):
            for client in clients:
                client.sendall(b"HELO x\r\n" + MESSAGE + b"QUIT\r\n")
            for client in clients:
                with client.makefile("rb") as replies:
                    codes = [line[:3] for line in replies]
                if codes == [b"421"] and loop is asyncore.loop:
                    continue  # more descriptors than select can hold
                assert (codes[0], codes[-2:]) == (b"220", [b"250", b"221"])
                taken += 1
        assert len(server.messages) == taken
        assert taken == 500 or loop is asyncore.loop
        assert server.errors == []


@pytest.mark.parametrize("loop", [asyncore.loop, own_loop_on_select])
def test_where_select_cannot_hold_a_connection_it_is_told_421(loop: Any) -> None:
    with descriptors(2048), on_stage(Server, loop=loop) as stage:
        with stage.connect() as client, none_below(1024):
            for _ in range(3):
                with Client(address(stage.server)) as too_many:
                    heard = stage.rest(too_many)
                assert heard == b"421 Too many connections, try again later\r\n"
            assert stage.say(client, b"NOOP") == OK
        with stage.connect() as client:
            assert stage.say(client, b"NOOP") == OK
        assert stage.server.errors == []


@pytest.mark.skipif(sys.platform == "win32", reason="select counts sockets there")
@pytest.mark.parametrize("loop", [asyncore.loop, own_loop_on_select])
@pytest.mark.parametrize("descriptor, answer", [(1023, b"220 "), (1024, b"421 ")])
def test_select_holds_descriptors_up_to_1023(
    descriptor: int, answer: bytes, loop: Any
) -> None:
    with descriptors(2048), on_stage(Server, loop=loop) as stage:
        stage.turn()
        with none_below(descriptor - 1), Client(address(stage.server)) as client:
            assert client.socket.fileno() == descriptor - 1
            assert stage.hear(client).startswith(answer)


def test_a_handle_accept_of_ones_own_is_kept_from_overfilling_select() -> None:
    class Accepts(Server):
        def handle_accept(self) -> None:
            pair = self.accept()
            if pair is not None:
                self.channel_class(self, *pair, map=self._map)

    with descriptors(2048), on_stage(Accepts) as stage:
        with stage.connect() as client, none_below(1024):
            with Client(address(stage.server)) as too_many:
                assert stage.rest(too_many).startswith(b"421 Too many connections")
            assert stage.say(client, b"NOOP") == OK


@pytest.mark.parametrize("loop", [poll_loop, smtpd_compat.loop])
def test_more_than_1024_descriptors_are_served_without_select(loop: Any) -> None:
    with descriptors(2048), on_stage(Server, loop=loop) as stage:
        with none_below(1024), stage.connect() as client:
            assert client.socket.fileno() >= 1024
            client.send(b"HELO x\r\n" + MESSAGE)
            replies = [stage.hear(client) for _ in range(5)]
            assert replies[-1] == OK


@LOOPS
def test_connections_beyond_the_limit_are_told_421(loop: Any) -> None:
    class TakesTwo(Server):
        connection_limit = 2

    with on_stage(TakesTwo, loop=loop) as stage:
        with stage.connect() as one, stage.connect() as two:
            for _ in range(3):
                with Client(address(stage.server)) as three:
                    heard = stage.rest(three)
                assert heard == b"421 Too many connections, try again later\r\n"
            assert stage.say(one, b"QUIT") == b"221 Bye\r\n"
            assert stage.rest(one) == b""
            with stage.connect() as three:
                assert stage.say(two, b"NOOP") == OK
                assert stage.say(three, b"NOOP") == OK
        assert stage.server.errors == []


class Plain(smtpd_compat.asynchat.async_chat):
    """A conversation of somebody's own, which tells no server of its end."""

    def __init__(self, server: Any, conn: Any, addr: Any, *args: Any, **_: Any) -> None:
        super().__init__(conn, map=server._map)
        self.smtp_server = server
        self.set_terminator(b"\r\n")
        self.push(b"220 plain\r\n")

    def collect_incoming_data(self, data: bytes) -> None:
        pass

    def found_terminator(self) -> None:
        self.close()


@LOOPS
@pytest.mark.parametrize("channel", [Channel, Plain])
@pytest.mark.parametrize("leaves", ["quits", "is closed", "is taken out", "vanishes"])
def test_whoever_leaves_a_full_server_makes_room_at_once(
    leaves: str, channel: Any, loop: Any
) -> None:
    class TakesTwo(Server):
        connection_limit = 2
        channel_class = channel

    with on_stage(TakesTwo, loop=loop) as stage, contextlib.ExitStack() as cleanup:
        clients = {}
        for _ in range(6):
            while len(stage.channels) < 2:
                client = cleanup.enter_context(stage.connect())
                clients[client.socket.getsockname()] = client
            for _ in range(2):
                with Client(address(stage.server)) as refused:
                    assert stage.rest(refused).startswith(b"421 Too many")
            first = stage.channels[0]
            if leaves == "is closed":
                first.close()
            elif leaves == "is taken out":
                stage.map.pop(first._fileno)
                cleanup.callback(first.socket.close)
            else:
                where = first.socket.getpeername()
                client = clients[where]
                if leaves == "quits":
                    client.send(b"QUIT\r\n")
                else:
                    client.vanish()
                stage.until(lambda first=first: first not in stage.channels)
        assert stage.server.errors == []


@pytest.mark.parametrize(
    "kinds", [(Channel, Channel), (Plain, Plain), (Channel, Plain), (Plain, Channel)]
)
def test_whoever_is_taken_out_makes_room_though_somebody_else_joins_the_map(
    kinds: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a second later, where all channels are of a class that tells of its end."""

    class TakesTwo(Server):
        connection_limit = 2

        def handle_accepted(self, conn: Any, addr: Any) -> None:
            self.channel_class = kinds[len(stage.channels)]
            super().handle_accepted(conn, addr)

    now = [1.0]
    tell(monkeypatch, lambda: now[0])
    with on_stage(TakesTwo) as stage, stage.connect(), stage.connect():

        def is_refused() -> bool:
            with Client(address(stage.server)) as third:
                return stage.hear(third).startswith(b"421 ")

        assert is_refused()
        first = stage.channels[0]
        with contextlib.closing(first.socket):
            del stage.map[first._fileno]
            Server(("127.0.0.1", 0), None, map=stage.map)
            if kinds == (Channel, Channel):
                assert is_refused()
                now[0] += 0.51
            assert not is_refused()


def test_a_full_server_does_not_count_for_everyone_whom_it_refuses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class TakesThree(Server):
        connection_limit = 3

    counts: list[Any] = []

    def counted(server: Any) -> Any:
        counts.append(server)
        return channels_of(server)

    monkeypatch.setattr("smtpd_compat._clients.channels_of", counted)
    tell(monkeypatch, lambda: 1.0)
    with on_stage(TakesThree) as stage, contextlib.ExitStack() as cleanup:
        for _ in range(3):
            cleanup.enter_context(stage.connect())
        for _ in range(20):
            with Client(address(stage.server)) as refused:
                assert stage.rest(refused).startswith(b"421 Too many")
        assert counts == [stage.server]


def test_a_handle_accept_that_keeps_nobody_fills_no_server() -> None:
    """Descriptors of connections that became no channel are no connections."""

    class Picks(Server):
        connection_limit = 2
        kept = 0

        def handle_accept(self) -> None:
            pair = self.accept()
            if pair is None:
                return
            self.kept += 1
            if self.kept % 3:
                self.held = [*getattr(self, "held", ()), pair[0].dup()]
                pair[0].close()
            else:
                self.channel_class(self, *pair, map=self._map)

    with on_stage(Picks) as stage:
        for number in range(1, 10):
            with Client(address(stage.server)) as client:
                heard = stage.hear(client) if number % 3 == 0 else b""
                stage.until(lambda number=number: stage.server.kept == number)
                assert heard[:4] in (b"", b"220 ")
                client.close()
                stage.until(lambda: not stage.channels)
        for held in stage.server.held:
            held.close()


def test_two_servers_in_one_map_count_their_own_connections() -> None:
    class TakesOne(Server):
        connection_limit = 1

    with on_stage(TakesOne) as stage:
        other = TakesOne(("127.0.0.1", 0), None, map=stage.map)
        with stage.connect(), Client(address(other)) as client:
            assert stage.hear(client).startswith(b"220 ")


def test_connections_are_not_limited_unless_a_class_says_so() -> None:
    with serving(Server, loop=poll_loop) as server, contextlib.ExitStack() as cleanup:
        clients = [cleanup.enter_context(connected(server)) for _ in range(100)]
        assert [client.say(b"NOOP") for client in clients] == [OK] * 100


# Closing


@pytest.mark.parametrize("timeout", [None, 300])
def test_a_closed_server_without_clients_leaves_nothing_in_the_map(
    timeout: Any,
) -> None:
    with on_stage(Server) as stage:
        stage.server.idle_timeout = timeout
        with stage.connect() as client:
            stage.say(client, b"QUIT")
            stage.until(lambda: not stage.channels)
        stage.server.close()
        assert stage.map == {}


def test_a_closed_server_lets_its_clients_finish_and_the_loop_end() -> None:
    with on_stage(Server) as stage:
        with stage.connect() as client:
            where = address(stage.server)
            stage.server.close()
            client.send(b"HELO x\r\n" + MESSAGE + b"QUIT\r\n")
            assert b"221" in stage.rest(client)
        assert len(stage.server.messages) == 1
        with pytest.raises(ConnectionRefusedError):
            Client(where)
        stage._loop(map=stage.map)  # ends, since nothing is left


def test_a_server_that_closes_never_leaves_its_map_empty() -> None:
    """A loop in another thread would end, and leave the clients alone."""

    class Watched(Dict[int, Any]):
        least = 0

        def clear(self) -> None:
            self.least = 0
            super().clear()

        def pop(self, *args: Any) -> Any:
            entry = super().pop(*args)
            self.least = min(self.least, len(self))
            return entry

    class Times(Server):
        idle_timeout = 30.0

    map = Watched()
    server = Times(("127.0.0.1", 0), None, map=map)
    with contextlib.ExitStack() as cleanup:
        for _ in range(3):
            cleanup.enter_context(socket.create_connection(address(server)))
        while len(map) < 4:
            asyncore.loop(timeout=PATIENCE, map=map, count=1)
        map.least = len(map)
        server.close()
        assert map.least == 3
        assert len(map) == 4
    asyncore.loop(map=map)


@LOOPS
def test_a_server_may_be_closed_while_it_handles_a_message(loop: Any) -> None:
    class Closes(Server):
        def process_message(self, *args: Any, **kwargs: Any) -> Any:
            self.close()
            return super().process_message(*args, **kwargs)

    with on_stage(Closes, loop=loop) as stage:
        with stage.connect() as client:
            client.send(b"HELO x\r\n" + MESSAGE * 2 + b"QUIT\r\n")
            assert stage.rest(client).count(OK) == 6
        assert (len(stage.server.messages), stage.server.errors) == (2, [])
        stage.until(lambda: not stage.map)


@LOOPS
def test_a_server_closed_with_clients_waiting_drops_them(loop: Any) -> None:
    with on_stage(Server, loop=loop) as stage:
        with Client(address(stage.server)) as client:
            stage.server.close()
            assert client.rest() == b""
        loop(map=stage.map)
        assert stage.map == {}


@LOOPS
def test_closing_everything_leaves_the_loop(loop: Any) -> None:
    class ClosesAll(Server):
        def process_message(self, *args: Any, **kwargs: Any) -> None:
            asyncore.close_all(self._map)

    with on_stage(ClosesAll, loop=loop) as stage:
        with stage.connect() as client, stage.connect() as other:
            client.send(b"HELO x\r\n" + MESSAGE)
            loop(map=stage.map)
            assert other.rest() == b""
        assert stage.server.errors == []


# Programs that confine themselves, and names that mean something else


def test_a_server_that_runs_imports_nothing_more() -> None:
    program = (
        "import smtplib, sys, threading, smtpd_compat as smtpd\n"
        "import encodings.idna\n"
        "class Server(smtpd.SMTPServer):\n"
        "    worker_threads = 1\n"
        "    def process_message(self, peer, mailfrom, rcpttos, data, **kwargs):\n"
        "        print(mailfrom)\n"
        "        return {}[1] if b'fail' in data else None\n"
        "server = Server(('127.0.0.1', 0), None)\n"
        "class Nothing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        raise ImportError('imported now: ' + name)\n"
        "sys.meta_path.insert(0, Nothing())\n"
        "def talk():\n"
        "    with smtplib.SMTP(*server.socket.getsockname()) as client:\n"
        "        client.sendmail('\"a..b\"@c', ['c@d'], 'x')\n"
        "        try:\n"
        "            client.sendmail('b@c', ['c@d'], 'fail')\n"
        "        except smtplib.SMTPDataError as error:\n"
        "            print(error.smtp_code)\n"
        "    server.close()\n"
        "threading.Thread(target=talk).start()\n"
        "smtpd.loop(0.05)\n"
    )
    said = fresh(program)
    assert "imported now" not in said
    assert said.splitlines()[0] == '"a..b"@c'
    assert said.splitlines()[-1] == "451"


class Refuses(asyncore.dispatcher):
    """A dispatcher of somebody's own, which has no attributes but its own."""

    def __init__(self, map: dict[int, Any]) -> None:
        near_end, self.far_end = socket.socketpair()
        super().__init__(near_end, map)

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def close(self) -> None:
        self.far_end.close()
        super().close()


@LOOPS
def test_a_dispatcher_beside_the_server_may_refuse_to_be_looked_at(loop: Any) -> None:
    class Serves(Server):
        connection_limit = 1

    with serving(Serves, loop=loop) as server:
        beside = Refuses(server._map)
        try:
            with connected(server) as client:
                assert client.say(b"NOOP") == OK
                with Client(address(server)) as other:
                    assert other.rest().startswith(b"421 ")
        finally:
            beside.close()


class Delegates(Server):
    """A server that has nothing which it cannot look up elsewhere."""

    def __getattribute__(self, name: str) -> Any:
        if name in ("connection_limit", "recipient_limit"):
            raise LookupError(name)
        return super().__getattribute__(name)


@LOOPS
def test_a_setting_that_cannot_be_looked_up_is_none(loop: Any) -> None:
    with serving(Delegates, loop=loop) as server, connected(server) as client:
        client.send(b"HELO x\r\n" + MESSAGE)
        assert client.replies(5)[-1] == OK


class HasOtherUses(Server):
    """Written before these names were ours."""

    idle_timeout: Any = "5m"

    def connection_limit(self) -> None:  # type: ignore[override]
        pass

    recipient_limit: Any = ("c@d",)
    worker_threads: Any = ["thread"]


@LOOPS
def test_names_of_ours_may_mean_something_else_in_a_server_of_old(loop: Any) -> None:
    with serving(HasOtherUses, loop=loop) as server, connected(server) as client:
        client.send(b"HELO x\r\n" + MESSAGE)
        assert client.replies(5)[-1] == OK
        assert len(server.messages) == 1


# What makes a channel


class ThreeToMake(type):
    """Makes its classes' instances as it was done up to Python 3.2."""

    def __call__(cls, server: Any, conn: Any, addr: Any) -> Any:
        return super().__call__(server, conn, addr)


class MadeOfThree(Channel, metaclass=ThreeToMake):
    """One whose metaclass takes three arguments."""


class NewOfThree(Channel):
    """One whose constructor takes three arguments."""

    def __new__(cls, server: Any, conn: Any, addr: Any) -> Any:
        return super().__new__(cls)


@pytest.mark.filterwarnings("ignore:.* does not take all the arguments")
@pytest.mark.parametrize("channel", [MadeOfThree, NewOfThree])
def test_who_takes_three_arguments_for_a_channel_gets_three(channel: Any) -> None:
    class Small(Server):
        channel_class = channel

    with serving(Small, data_size_limit=99) as server, connected(server) as client:
        assert b"250-SIZE 99" in client.say(b"EHLO x")


@pytest.mark.filterwarnings("ignore:.* does not take all the arguments")
def test_a_constructor_of_three_arguments_patched_into_our_class_gets_three(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours = smtpd_compat.SMTPChannel.__init__

    def patched(self: Any, server: Any, conn: Any, addr: Any) -> None:
        ours(self, server, conn, addr)

    class Plain(Server):
        channel_class = smtpd_compat.SMTPChannel

    monkeypatch.setattr(smtpd_compat.SMTPChannel, "__init__", patched)
    with serving(Plain, data_size_limit=99) as server, connected(server) as client:
        assert b"250-SIZE 99" in client.say(b"EHLO x")


class _Counting(type):
    """Makes channels its own way."""

    made = 0

    def __call__(cls, server: Any, conn: Any, addr: Any) -> Any:
        _Counting.made += 1
        return super().__call__(server, conn, addr)


class _ByMetaclass(Channel, metaclass=_Counting):
    pass


class _ByNew(Channel):
    def __new__(cls, server: Any, conn: Any, addr: Any) -> Any:
        return super().__new__(cls)


@pytest.mark.parametrize("channel", [_ByMetaclass, _ByNew])
def test_a_channel_class_that_is_made_in_a_way_of_its_own_serves(
    channel: Any, heard: Any
) -> None:
    class Serves(Server):
        channel_class = channel

    made = _Counting.made
    with serving(Serves, data_size_limit=5) as server, connected(server) as client:
        assert b"SIZE 5" in client.say(b"EHLO x")
        client.send(MESSAGE)
        assert client.replies(4)[-1] == OK
    assert server.errors == []
    assert _Counting.made - made == (channel is _ByMetaclass)


@pytest.mark.parametrize("reply", ["421 Go away", None])
def test_a_push_of_ones_own_has_its_say_on_the_banner(reply: Any) -> None:
    class Own(Channel):
        banner = True

        def push(self, msg: Any) -> None:
            if not self.banner:
                super().push(msg)
            elif reply is not None:
                super().push(reply)
                self.close_when_done()
            self.banner = False

    class Quiet(Server):
        channel_class = Own

    with serving(Quiet) as server, Client(address(server)) as client:
        if reply is None:
            assert client.say(b"NOOP") == OK
        else:
            assert client.rest() == reply.encode() + b"\r\n"
