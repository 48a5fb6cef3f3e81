"""Hold sessions with a copy of the module, through asyncore's own loop.

No thread and no waiting: a session's client and server are the two ends of a socket
pair, and the loop turns until nothing is left to do.
"""

from __future__ import annotations

import contextlib
import io
import select
import socket
import warnings
from unittest import mock

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import asyncore

from . import channels, handlers
from .sessions import Session, Transcript

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .sessions import Peer

_FQDN = "mx.example.test"

_ATTRIBUTES = (
    "smtp_state",
    "seen_greeting",
    "extended_smtp",
    "mailfrom",
    "rcpttos",
    "mail_options",
    "rcpt_options",
    "require_SMTPUTF8",
    "received_data",
    "received_lines",
    "num_bytes",
    "command_size_limit",
    "command_size_limits",
    "max_command_size_limit",
    "data_size_limit",
    "enable_SMTPUTF8",
    "fqdn",
    "peer",
    "addr",
    "terminator",
    "connected",
    "accepting",
    "closing",
)

#: Turns of the loop after which a segment counts as never answered.
_ENOUGH_TURNS = 2000

#: More than a socket pair holds.
_ALL = 1 << 20


class _Conn(socket.socket):
    """The server's end of a socket pair, which names the peer that it is told to."""

    peer: Peer = ""

    def getpeername(self) -> Any:
        return self.peer


class _Stream(io.StringIO):
    """A stream whose reader may have gone."""

    is_broken = False

    def write(self, text: str) -> int:
        if self.is_broken:
            raise BrokenPipeError("nobody reads this")
        return super().write(text)


class Bench:
    """Holds sessions with *module*: the original, or what stands in its place.

    The others amend the original, see `rules`.

    :param channel_base: makes the class that the channel kinds derive from out of the
        module's own.
    :param channel: makes the channels' class out of the channel kind's.
    :param server: makes the servers' class out of the handler kind's.
    :param stream: makes DEBUGSTREAM out of the session's.
    """

    def __init__(
        self,
        module: Any,
        channel_base: Callable[[Any], Any] = lambda cls: cls,
        channel: Callable[[Any], Any] = lambda cls: cls,
        server: Callable[[Any], Any] = lambda cls: cls,
        stream: Callable[[Any, Transcript], Any] = lambda stream, transcript: stream,
    ) -> None:
        self._module = module
        self._channel_base = channel_base(module.SMTPChannel)
        self._amended_channel = channel
        self._amended_server = server
        self._amended_stream = stream
        self._servers: dict[str, Any] = {}
        self._server_classes: dict[str, Any] = {}
        self._channels: dict[str, Any] = {}
        self._map: dict[int, Any] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Bench:  # noqa: PYI034
        getfqdn = mock.patch.object(socket, "getfqdn", lambda name="": _FQDN)
        self._stack.enter_context(getfqdn)
        # Old names warn, and some channels use them.
        self._stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore", DeprecationWarning)
        return self

    def __exit__(self, *exception: object) -> None:
        for server in self._servers.values():
            server.close()
        self._servers.clear()
        self._stack.close()

    def run(self, session: Session) -> Transcript:
        """Hold *session*."""
        transcript = Transcript()
        server = self._server(session, transcript)
        trace = _Stream()
        printed = _Stream()
        silent = self._module.DEBUGSTREAM
        if session.traced:
            self._module.DEBUGSTREAM = self._amended_stream(trace, transcript)
        try:
            with contextlib.redirect_stdout(printed):
                self._converse(server, session, transcript, (trace, printed))
        finally:
            self._module.DEBUGSTREAM = silent
        transcript.trace = trace.getvalue()
        transcript.printed = printed.getvalue()
        return transcript

    def _server(self, session: Session, transcript: Transcript) -> Any:
        """A server as *session* has it; only made anew for a new kind of handler."""
        server = self._servers.get(session.handler)
        if server is None:
            cls = self._amended_server(
                handlers.server_class(session.handler, self._module)
            )
            server = cls(("127.0.0.1", 0), ("127.0.0.1", 9), map=self._map)
            # It is never asked to accept; the map is for the channels.
            self._map.clear()
            self._servers[session.handler] = server
            self._server_classes[session.handler] = cls
        if session.handler in handlers.TRIED_OUT:
            # Of a new class nobody knows yet what it takes.
            cls = self._server_classes[session.handler]
            server.__class__ = type(cls.__name__, (cls,), {})
        channel = self._channels.get(session.channel)
        if channel is None:
            channel = self._amended_channel(
                channels.channel_class(session.channel, self._channel_base)
            )
            self._channels[session.channel] = channel
        server.channel_class = channel
        server.data_size_limit = session.data_size_limit
        server.enable_SMTPUTF8 = session.enable_SMTPUTF8
        server._decode_data = session.decode_data
        server.transcript = channel.transcript = transcript
        return server

    def _converse(
        self,
        server: Any,
        session: Session,
        transcript: Transcript,
        streams: tuple[_Stream, ...],
    ) -> None:
        far_end, near_end = socket.socketpair()
        conn = _Conn(near_end.family, near_end.type, 0, near_end.detach())
        conn.peer = session.peer
        far_end.setblocking(False)
        with far_end, conn:
            server.handle_accepted(conn, session.peer)
            for stream in streams:
                stream.is_broken = session.unwritable
            channel = server.channel = next(iter(self._map.values()))
            sent: list[bytes] = []
            try:
                for segment in (b"",) + session.segments:
                    sent.clear()
                    transcript.closed = self._turn(
                        channel, conn, far_end, segment, sent
                    )
                    transcript.sent.append(b"".join(sent).decode("latin-1"))
                    if transcript.closed:
                        break
            except (Exception, SystemExit, KeyboardInterrupt) as escaped:
                if isinstance(escaped, KeyboardInterrupt) and not escaped.args:
                    raise  # the user's, not a handler's
                transcript.escaped = type(escaped).__name__
                transcript.closed = _receive(far_end, conn, sent)
                transcript.sent.append(b"".join(sent).decode("latin-1"))
            rules = transcript.rules[:]
            transcript.attributes = {
                name: _attribute(channel, name) for name in _ATTRIBUTES
            }
            transcript.rules = rules  # those that the session met, not the looking on
            self._map.clear()

    def _turn(
        self,
        channel: Any,
        conn: socket.socket,
        far_end: socket.socket,
        segment: bytes,
        sent: list[bytes],
    ) -> bool:
        """Deliver *segment*, and let the loop turn until it has nothing more to do.

        Returns whether the server has closed the connection; *sent* gets what it sent.
        """
        poll = asyncore.poll
        long = len(segment) > channel.ac_in_buffer_size
        deaths = channel.transcript.deaths
        for _ in range(_ENOUGH_TURNS):
            if segment:
                segment = segment[far_end.send(segment) :]
            died = len(deaths)
            poll(0.0, self._map)
            closed = _receive(far_end, conn, sent)
            if closed or (
                not segment
                and not channel.writable()
                and died == len(deaths)
                and not (long and select.select((conn,), (), (), 0)[0])
            ):
                return closed
        raise RuntimeError("the loop turns for ever")


def _receive(far_end: socket.socket, conn: socket.socket, sent: list[bytes]) -> bool:
    """Take what has arrived at the client's end; whether that was the last of it."""
    closed = conn.fileno() < 0
    try:
        part = far_end.recv(_ALL)
        while part:
            sent.append(part)
            if not closed:
                break
            part = far_end.recv(_ALL)
    except (BlockingIOError, ConnectionResetError):
        pass
    return closed


def _attribute(channel: Any, name: str) -> str:
    try:
        value = getattr(channel, name)
    except AttributeError:
        return "none"
    if name == "received_lines":
        # The borders of the pieces are nobody's business.
        kinds_of = sorted({type(piece).__name__ for piece in value})
        return "{} {!r}".format(kinds_of, "".join(map(_text, value)))
    if name == "command_size_limits":
        value = dict(value)
    return repr(value)


def _text(piece: Any) -> str:
    return piece.decode("latin-1") if isinstance(piece, bytes) else piece
