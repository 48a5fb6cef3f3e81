"""Cut a session down to the smallest that still has a property."""

from __future__ import annotations

import dataclasses

from .sessions import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    _Segments = tuple[bytes, ...]


def shrink(session: Session, fails: Callable[[Session], bool]) -> Session:
    """The smallest session, near *session*, for which *fails* holds too.

    Smaller means: nothing unusual about the server, fewer segments, fewer lines,
    shorter ones.
    """
    smaller = True
    while smaller:
        smaller = False
        for candidate in _candidates(session):
            if fails(candidate):
                session = candidate
                smaller = True
                break
    return session


def _candidates(session: Session) -> Iterator[Session]:
    for segments in _fewer_segments(session.segments):
        yield dataclasses.replace(session, segments=segments)
    usual = Session(())
    for field in dataclasses.fields(session):
        value = getattr(usual, field.name)
        if field.name != "segments" and getattr(session, field.name) != value:
            yield dataclasses.replace(session, **{field.name: value})
    for segments in _shorter_segments(session.segments):
        yield dataclasses.replace(session, segments=segments)


def _fewer_segments(segments: _Segments) -> Iterator[_Segments]:
    for start, end in _ranges(len(segments)):
        yield segments[:start] + segments[end:]
    for i in range(len(segments) - 1):
        yield segments[:i] + (segments[i] + segments[i + 1],) + segments[i + 2 :]


def _shorter_segments(segments: _Segments) -> Iterator[_Segments]:
    for i, segment in enumerate(segments):
        lines = segment.splitlines(keepends=True)
        if len(lines) > 1:
            for start, end in _ranges(len(lines)):
                shorter = b"".join(lines[:start] + lines[end:])
                yield segments[:i] + (shorter,) + segments[i + 1 :]
        for start, end in _ranges(len(segment)):
            shorter = segment[:start] + segment[end:]
            if shorter:
                yield segments[:i] + (shorter,) + segments[i + 1 :]


def _ranges(length: int) -> Iterator[tuple[int, int]]:
    """What to leave out of *length* things: halves, quarters, ... single ones."""
    sizes: list[int] = []
    size = length
    while size > 1:
        size = (size + 1) // 2
        sizes.append(size)
    if length == 1:
        sizes = [1]
    for size in sizes:
        for start in range(0, length, size):
            yield start, min(start + size, length)
