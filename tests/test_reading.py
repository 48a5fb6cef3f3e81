"""Input is cut at its terminators, wherever the network cuts it."""

from __future__ import annotations

import pytest

from tests.support.conversing import MESSAGE, OK, TRANSACTION, start_data
from tests.support.keeping import Channel, Server
from tests.support.serving import serving
from tests.support.talking import connected, on_stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


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
