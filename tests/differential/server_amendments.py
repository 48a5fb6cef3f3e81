"""What the original's servers do, repaired row by row; see `rules`."""

from __future__ import annotations

import contextlib
import inspect
import io
import re
import sys
from typing import Any

from . import handlers
from .sessions import Transcript
from .survivals import Rule, raised_in

_LINE_END = re.compile(r"\r\n|\r|\n")


class _FourArguments(Rule):
    """A handler from before 3.5 is called with four arguments, the last one text."""

    row = "process_message with four arguments"
    number = 4

    def process_message(self, *args: Any, **kwargs: Any) -> Any:
        handler = super().process_message
        parameters = inspect.signature(handler).parameters
        if kwargs and not {"mail_options", "kwargs"}.intersection(parameters):
            self.note(_FourArguments)
            text = args[3].decode("utf-8", "surrogateescape")
            return handler(*args[:3], text)
        return handler(*args, **kwargs)


class _OtherKind(Rule):
    """A handler whose kind of message is not that of its arguments gets its own."""

    row = "a handler's kind of message"
    number = 4

    def process_message(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().process_message(*args, **kwargs)
        except TypeError as error:
            if not kwargs or raised_in(error).f_code.co_filename != handlers.__file__:
                raise
        handler = super(_FourArguments, self).process_message  # type: ignore[misc]
        if "kwargs" not in inspect.signature(handler).parameters:
            self.note(_FourArguments)
            self.note(_OtherKind)
            return handler(*args)
        self.note(_OtherKind)
        text = args[3].decode("utf-8", "surrogateescape")
        return handler(*args[:3], text, **kwargs)


class _EmptyPeer(Rule):
    """A client on a Unix socket has no host to print."""

    row = "DebuggingServer and an empty peer"
    number = 2

    def _print_message_content(self, peer: Any, data: Any) -> None:
        if peer:
            super()._print_message_content(peer, data)
            return
        self.note(_EmptyPeer)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            super()._print_message_content(("no host",), data)
        for line in printed.getvalue().splitlines(keepends=True):
            if line not in ("X-Peer: no host\n", "b'X-Peer: no host'\n"):
                sys.stdout.write(line)


class _RelayedBytes(Rule):
    """PureProxy relays messages as they came, without decode_data too."""

    row = "PureProxy"
    number = 2


class _EmptyPeerRelayed(Rule):
    """A client on a Unix socket has no host to name in a header."""

    row = "PureProxy"
    number = 2


class _BareLineEndsRelayed(Rule):
    """A CR alone ends a header line too: upstream every line gets to end in CRLF."""

    row = "bare CR and LF in relayed mail"
    number = 3


class Relay(Rule):
    """What these three change in PureProxy.

    The original is asked only for the line before which the X-Peer header stands.
    """

    _data: Any = ""
    _host = ""
    _options: tuple[str, ...] = ()

    def process_message(
        self,
        peer: Any,
        mailfrom: str,
        rcpttos: list[str],
        data: Any,
        **kwargs: Any,
    ) -> Any:
        self._data = data
        self._host = peer[0] if peer else ""
        self._options = tuple(kwargs.get("mail_options", ()))
        text = data
        if isinstance(data, bytes):
            self.note(_RelayedBytes)
            text = data.decode("latin-1")
        if not peer:
            self.note(_EmptyPeerRelayed)
        if "\r" in text:
            self.note(_BareLineEndsRelayed)
        text = _LINE_END.sub("\n", text)
        return super().process_message((self._host,), mailfrom, rcpttos, text)

    def _deliver(self, mailfrom: str, rcpttos: list[str], text: str) -> Any:
        data = self._data
        if self._host:
            header = "X-Peer: " + self._host
            data = self._with_header(header, text.split("\n").index(header))
        more = (["SMTPUTF8"],) if "SMTPUTF8" in self._options else ()
        return super()._deliver(mailfrom, rcpttos, data, *more)

    def _with_header(self, header: str, before: int) -> Any:
        data = self._data
        text = data.decode("latin-1") if isinstance(data, bytes) else data
        ends = [0] + [end.end() for end in _LINE_END.finditer(text)]
        if before < len(ends):
            at = ends[before]
            text = text[:at] + header + "\n" + text[at:]
        else:
            text = text + "\n" + header
        return text.encode("latin-1") if isinstance(data, bytes) else text


class Unwritten(Rule):
    """What cannot be written to the debug stream is dropped."""

    row = "output that cannot be written"
    number = 2


class Written:
    """A debug stream on which every write succeeds."""

    def __init__(self, stream: Any, transcript: Transcript) -> None:
        self._stream = stream
        self._transcript = transcript

    def write(self, text: str) -> None:
        try:
            self._stream.write(text)
        except OSError:
            if Unwritten.row not in self._transcript.rules:
                self._transcript.rules.append(Unwritten.row)

    def flush(self) -> None:
        pass


#: Of every server.
OF_ALL: tuple[type[Rule], ...] = (
    _OtherKind,
    _FourArguments,
    _EmptyPeer,
)

#: Of PureProxy, by way of `Relay`.
OF_RELAYS: tuple[type[Rule], ...] = (
    _RelayedBytes,
    _EmptyPeerRelayed,
    _BareLineEndsRelayed,
)

#: Of the debug stream, by way of `Written`.
OF_STREAMS: tuple[type[Rule], ...] = (Unwritten,)
