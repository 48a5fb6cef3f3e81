"""Sessions and transcripts: what goes in, and what is compared."""

from __future__ import annotations

import dataclasses
import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    #: What a session may come from: IPv4, IPv6, a Unix socket with its empty peer.
    Peer = tuple[Any, ...] | str

IPV4: Peer = ("192.0.2.7", 40007)
IPV6: Peer = ("2001:db8::7", 40007, 0, 0)
UNIX: Peer = ""

DEFAULT_LIMIT = 33554432


@dataclasses.dataclass(frozen=True)
class Session:
    """Everything that decides about a conversation, as data.

    ``segments`` arrive one after the other, each after the answer to the one before.
    ``handler`` and ``channel`` are names in `handlers` and `channels`.  ``traced``
    gives DEBUGSTREAM a stream that listens.  ``unwritable`` makes that stream, and
    standard output, fail.
    """

    segments: tuple[bytes, ...]
    data_size_limit: int | None = DEFAULT_LIMIT
    enable_SMTPUTF8: bool = False
    decode_data: bool = False
    handler: str = "none"
    channel: str = "plain"
    traced: bool = False
    unwritable: bool = False
    peer: Peer = IPV4

    def to_json(self) -> str:
        """One line of text, for a file."""
        fields = dataclasses.asdict(self)
        fields["segments"] = [segment.decode("latin-1") for segment in self.segments]
        return json.dumps(fields)

    @classmethod
    def from_json(cls, text: str) -> Session:
        """What `to_json` made a text of."""
        fields = json.loads(text)
        fields["segments"] = tuple(
            part.encode("latin-1") for part in fields["segments"]
        )
        if not isinstance(fields["peer"], str):
            fields["peer"] = tuple(fields["peer"])
        return cls(**fields)

    def source(self) -> str:
        """An expression that makes this session, without what is as usual."""
        usual = Session(())
        parts = [
            f"    {field.name}={getattr(self, field.name)!r},\n"
            for field in dataclasses.fields(self)
            if field.name != "segments"
            and getattr(self, field.name) != getattr(usual, field.name)
        ]
        segments = "".join(f"        {segment!r},\n" for segment in self.segments)
        return "Session(\n    segments=(\n{}    ),\n{})".format(
            segments, "".join(parts)
        )


@dataclasses.dataclass
class Transcript:
    """What came of a session.

    Values of the program are kept as their ``repr``, so that types count and a
    transcript can be written to a file.
    """

    #: What was sent before the first segment, then after each, until closed.
    sent: list[str] = dataclasses.field(default_factory=list)
    #: Whether the server closed the connection after the last of ``sent``.
    closed: bool = False
    #: The calls of process_message: positional and keyword arguments.
    messages: list[str] = dataclasses.field(default_factory=list)
    #: The calls of overridden hooks with their arguments, in order.
    hooks: list[str] = dataclasses.field(default_factory=list)
    #: What went to DEBUGSTREAM.
    trace: str = ""
    #: What went to standard output.
    printed: str = ""
    #: Public attributes of the channel afterwards.
    attributes: dict[str, str] = dataclasses.field(default_factory=dict)
    #: Exceptions that asyncore caught: their class and the functions they came from.
    deaths: list[str] = dataclasses.field(default_factory=list)
    #: The rules by which the original had to be amended, see `rules`.
    rules: list[str] = dataclasses.field(default_factory=list)
    #: The class of an exception that left the loop.
    escaped: str = ""

    def to_json(self) -> str:
        """One line of text, for a file."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Transcript:
        """What `to_json` made a text of."""
        return cls(**json.loads(text))
