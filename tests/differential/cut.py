"""Cut what a client sends into segments, as networks and clients do."""

from __future__ import annotations

import random


def cut(rng: random.Random, lines: list[bytes]) -> tuple[bytes, ...]:
    """Cut the lines' octets into segments, as networks and clients do."""
    whole = b"".join(lines)
    how = rng.random()
    if rng.random() < 0.05:
        whole = whole[: rng.randrange(len(whole) + 1)]
        lines = [whole]
    if how < 0.2:
        segments = lines
    elif how < 0.35:
        segments = [whole]
    elif how < 0.38 and len(whole) < 250:
        segments = [whole[i : i + 1] for i in range(len(whole))]
    elif how < 0.55:
        segments = _cut_at(whole, _near_line_ends(rng, whole))
    elif how < 0.65:
        segments = _cut_at(
            whole,
            [rng.randrange(len(whole) + 1) for _ in range(rng.choice((1, 2, 3, 8)))],
        )
    else:
        segments = _grouped(rng, lines)
    return tuple(segment for segment in segments if segment)


def _near_line_ends(rng: random.Random, whole: bytes) -> list[int]:
    """Places inside of CRLF and CRLF.CRLF, and around them."""
    ends = [i for i in range(len(whole)) if whole[i] in b"\r\n."]
    chosen = rng.sample(ends, min(len(ends), rng.choice((1, 2, 5, 12))))
    return [end + rng.choice((0, 1)) for end in chosen]


def _cut_at(whole: bytes, places: list[int]) -> list[bytes]:
    borders = [0] + sorted(places) + [len(whole)]
    return [whole[start:end] for start, end in zip(borders, borders[1:])]  # noqa: RUF007


def _grouped(rng: random.Random, lines: list[bytes]) -> list[bytes]:
    """Some lines together, as clients do that pipeline."""
    segments = [b""]
    for line in lines:
        if rng.random() < 0.4:
            segments.append(b"")
        segments[-1] += line
    return segments
