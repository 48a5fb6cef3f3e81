"""Input is cut at its terminators, wherever the network cuts it."""

from __future__ import annotations

import socket

import pytest

import smtpd_compat
from tests.support.conversing import MESSAGE, OK, TRANSACTION, start_data
from tests.support.keeping import Channel, Server
from tests.support.serving import serving
from tests.support.talking import connected, on_stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any


def test_to_read_when_there_is_nothing_to_read_is_no_error() -> None:
    with on_stage(Server) as stage, stage.connect() as client:
        (channel,) = stage.channels
        channel.handle_read_event()
        assert stage.say(client, b"NOOP") == OK
        assert stage.server.errors == []


def test_what_comes_octet_by_octet_is_what_comes_at_once() -> None:
    session = b"EHLO x\r\n" + MESSAGE + b"VRFY @\xc3\xbc\r\n\r\nQUIT\r\n"
    with serving(Server) as server:
        with connected(server) as client:
            client.send(session)
            at_once = client.rest()
        with connected(server) as client:
            client.send(*(session[at : at + 1] for at in range(len(session))))
            assert client.rest() == at_once
    assert [message.data for message in server.messages] == [b"hello"] * 2


# The end of the data


@pytest.mark.parametrize("settings", [{}, {"decode_data": True}])
def test_a_dot_straight_after_data_is_an_empty_message(
    settings: dict[str, Any],
) -> None:
    with serving(Server, **settings) as server, connected(server) as client:
        start_data(client)
        assert client.say(b".") == OK
        assert client.say(b"NOOP") == OK
    assert [len(message.data) for message in server.messages] == [0]


@pytest.mark.parametrize(
    "pieces", [[b".", b"\r\n"], [b".\r", b"\n"], [b".", b"\r", b"\n"]]
)
def test_a_dot_straight_after_data_may_come_in_pieces(pieces: list[bytes]) -> None:
    with on_stage(Server) as stage, stage.connect() as client:
        for line in (b"HELO x", *TRANSACTION, b"DATA"):
            stage.say(client, line)
        for piece in pieces:
            client.send(piece)
            stage.turn(2, timeout=0.01)
        assert stage.hear(client) == OK
        assert stage.server.messages[0].data == b""


@pytest.mark.parametrize(
    "pieces, data",
    [
        ([b".\r\nVRFY\r\n"], b""),
        ([b"DATA\r\n.\r\nVRFY\r\n"], b""),
        ([b"DATA\r\n.", b"\r\nVRFY\r\n"], b""),
        ([b"DATA\r\n.\r", b"\nVRFY\r\n"], b""),
        ([b"DATA\r\n.", b".a\r\n.\r\nVRFY\r\n"], b".a"),
        ([b"..a\r\n.\r\nVRFY\r\n"], b".a"),
        ([b"DATA\r\n..a\r\n.\r\nVRFY\r\n"], b".a"),
    ],
)
def test_a_dot_straight_after_data_may_come_with_what_is_around_it(
    pieces: list[bytes], data: bytes
) -> None:
    with on_stage(Server) as stage, stage.connect() as client:
        for line in (b"HELO x", *TRANSACTION):
            stage.say(client, line)
        if not pieces[0].startswith(b"DATA"):
            stage.say(client, b"DATA")
        for piece in pieces:
            client.send(piece)
            stage.turn(2, timeout=0.01)
        heard = b""
        while not heard.endswith(b"501 Syntax: VRFY <address>\r\n"):
            heard = stage.hear(client)
            assert heard[:3] in (b"354", b"250", b"501")
        assert [message.data for message in stage.server.messages] == [data]


@pytest.mark.parametrize(
    "data",
    [
        *(
            b"a\n.\nb",
            b"a\r.\rb",
            b"a\n.\r\nb",
            b"a\r\n.\nb",
            b"a\r\n.\rb",
            b"a\r.\r\nb",
        ),
        *(b".\nb", b".\rb", b".\n", b"\n.\n", b"\r.\r", b"a\r\r\n.\r\r\nb", b"..\r\nb"),
    ],
)
@pytest.mark.parametrize("in_octets", [False, True])
def test_inbound_smuggling_shapes_never_end_the_data(
    data: bytes, in_octets: bool
) -> None:
    """Only CRLF.CRLF does, and what the handler gets is what the original gives it."""
    with on_stage(Server) as stage, stage.connect() as client:
        for line in (b"HELO x", *TRANSACTION, b"DATA"):
            stage.say(client, line)
        pieces = [data[at : at + 1] for at in range(len(data))] if in_octets else [data]
        for piece in pieces:
            client.send(piece)
            stage.turn(1, timeout=0.01)
        assert stage.server.messages == []
        stage.say(client, b"\r\nEND\r\n.")
        assert len(stage.server.messages) == 1
        assert stage.say(client, b"NOOP") == OK
    expected = b"\n".join(
        line[1:] if line.startswith(b".") else line for line in data.split(b"\r\n")
    )
    assert stage.server.messages[0].data == expected + b"\nEND"


# Terminators of one's own


def test_a_channel_may_set_the_terminators_that_asynchat_takes() -> None:
    """A number of octets, several octets, or none, as for a command like BDAT."""
    chunks: list[bytes] = []

    class TakesChunks(Channel):
        chunk: Any = None

        def smtp_BDAT(self, arg: str) -> None:
            self.chunk = b""
            self.set_terminator({"END": b"END", "ALL": None}.get(arg) or int(arg or 0))

        def collect_incoming_data(self, data: bytes) -> None:
            if self.chunk is None:
                super().collect_incoming_data(data)
            else:
                self.chunk += data

        def found_terminator(self) -> None:
            if self.chunk is None:
                super().found_terminator()
                return
            chunks.append(self.chunk)
            self.chunk = None
            self.set_terminator(b"\r\n")
            self.push("250 chunk")

    class Serves(Server):
        channel_class = TakesChunks

    with on_stage(Serves) as stage, stage.connect() as client:
        client.send(b"BDAT 7\r\n\r\n.\r\nabNOOP\r\nBDAT END\r\nxEN")
        assert stage.hear(client) == b"250 chunk\r\n"
        assert stage.hear(client) == OK
        stage.turn(1, timeout=0.01)
        client.send(b"DBDAT 3\r\n1")
        assert stage.hear(client) == b"250 chunk\r\n"
        client.send(b"2")
        stage.turn(1, timeout=0.01)
        client.send(b"3NOOP\r\n")
        assert stage.hear(client) == b"250 chunk\r\n"
        assert stage.hear(client) == OK
        (channel,) = stage.channels
        client.send(b"BDAT 0\r\nall the")
        stage.until(lambda: channel.chunk == b"all the")
        client.send(b" rest\r\n")
        stage.until(lambda: channel.chunk == b"all the rest\r\n")
        assert stage.server.errors == []
    assert chunks == [b"\r\n.\r\nab", b"x", b"123"]


class Pieces(smtpd_compat.SMTPChannel):
    """Keeps what it collects, a piece for every terminator."""

    def __init__(self, conn: socket.socket) -> None:
        smtpd_compat.asynchat.async_chat.__init__(self, conn, map={})
        self.collected = b""
        self.pieces: list[bytes] = []

    def collect_incoming_data(self, data: bytes) -> None:
        self.collected += data

    def found_terminator(self) -> None:
        self.pieces.append(self.collected)
        self.collected = b""


@pytest.fixture
def hear() -> Iterator[Callable[[bytes], Pieces]]:
    """What a reader has made of some input."""
    near, far = socket.socketpair()
    reader = Pieces(near)

    def heard(said: bytes) -> Pieces:
        if said:
            far.sendall(said)
            reader.handle_read()
        return reader

    yield heard
    reader.close()
    far.close()


@pytest.mark.parametrize(
    "terminator", [b"END", "END", b"\r\n", "\n", b"\r\n\r\n", b"\r\n.\r\n", b"."]
)
def test_input_is_cut_at_octets_and_at_text(
    terminator: bytes | str, hear: Callable[[bytes], Pieces]
) -> None:
    end = terminator.encode() if isinstance(terminator, str) else terminator
    hear(b"").set_terminator(terminator)
    reader = hear(b"one" + end + end + b"th" + end[:-1])
    assert (reader.pieces, reader.collected) == ([b"one", b""], b"th")
    assert reader.ac_in_buffer == end[:-1]
    assert hear(b"r" + end).pieces[2:] == [b"th" + end[:-1] + b"r"]


def test_input_is_cut_after_a_number_of_octets_which_is_counted_down(
    hear: Callable[[bytes], Pieces],
) -> None:
    hear(b"").set_terminator(5)
    reader = hear(b"123")
    assert (reader.pieces, reader.collected) == ([], b"123")
    assert reader.get_terminator() == 2
    assert hear(b"45").pieces == [b"12345"]
    # As in asynchat, nothing ends a piece until the next terminator is set.
    assert hear(b"rest").pieces == [b"12345"]
    assert reader.collected == b"rest"


def test_without_a_terminator_input_is_collected_and_not_cut(
    hear: Callable[[bytes], Pieces],
) -> None:
    hear(b"").set_terminator(None)
    hear(b"a\r\n")
    reader = hear(b".\r\n")
    assert (reader.pieces, reader.collected) == ([], b"a\r\n.\r\n")
    assert reader.ac_in_buffer == b""


def test_what_may_become_a_terminator_waits_in_ac_in_buffer(
    hear: Callable[[bytes], Pieces],
) -> None:
    hear(b"").set_terminator(b"\r\n.\r\n")
    for said, collected, waits in (
        (b"a\r", b"a", b"\r"),
        (b"\n.", b"a", b"\r\n."),
        (b"\r", b"a", b"\r\n.\r"),
        (b"\r\n", b"a\r\n.\r", b"\r\n"),
    ):
        reader = hear(said)
        assert (reader.collected, reader.ac_in_buffer) == (collected, waits)
    assert hear(b".\r\nrest").pieces == [b"a\r\n.\r"]


def test_ac_in_buffer_may_be_assigned(hear: Callable[[bytes], Pieces]) -> None:
    """As a command like STARTTLS does, to drop what the client said too early."""

    class Drops(Pieces):
        def found_terminator(self) -> None:
            super().found_terminator()
            self.ac_in_buffer = b"instead\r\n" * (len(self.pieces) == 1)

    reader = hear(b"")
    reader.__class__ = Drops
    reader.set_terminator(b"\r\n")
    assert hear(b"one\r\ntwo\r\n").pieces == [b"one", b"instead"]
