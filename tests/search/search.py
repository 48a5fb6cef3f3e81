"""The search itself."""

from __future__ import annotations

import random
from typing import Callable, List, Sequence

from . import drive, inputs
from .configurations import Configuration, configuration


class Found(Exception):
    """A session that a server did not get through as it should."""


def search(
    seed: int, sessions: int, progress: Callable[[int, int], None] = lambda *_: None
) -> None:
    """Try *sessions* sessions, the same for the same *seed*.

    Raises Found for the first that fails, with the smallest one that fails likewise.
    """
    octets = 0
    for number in range(sessions):
        rng = random.Random(f"{seed}.{number}")
        config = configuration(rng)
        segments = inputs.segments(rng)
        loop = rng.choice(sorted(drive.LOOPS))
        ending = rng.choice(("close", "end"))
        octets += sum(map(len, segments))
        failure = _failure(config, segments, loop, ending)
        if failure:
            segments = _smallest(config, segments, loop, ending)
            failure = _failure(config, segments, loop, ending) or failure
            raise Found(
                f"session {number} of seed {seed}:\n{config}\nloop {loop}, the client"
                f" ends with {ending!r}, having sent\n{list(segments)!r}\n{failure}"
            )
        progress(number + 1, octets)


def _failure(
    config: Configuration, segments: Sequence[bytes], loop: str, ending: str
) -> str:
    try:
        drive.drive(config, segments, loop, ending)
    except drive.Outcome as outcome:
        return str(outcome) or repr(outcome)
    except Exception as error:
        return f"{type(error).__name__} left the loop: {error}"
    return ""


def _smallest(
    config: Configuration, segments: Sequence[bytes], loop: str, ending: str
) -> List[bytes]:
    """Leave out whatever can be left out."""
    smallest = list(segments)
    size = max(1, sum(map(len, smallest)) // 2)
    while size:
        before = [*smallest]
        number = 0
        while number < len(smallest):
            at = 0
            while at < len(smallest[number]):
                piece = smallest[number]
                shorter = [*smallest]
                shorter[number] = piece[:at] + piece[at + size :]
                if _failure(config, shorter, loop, ending):
                    smallest = shorter
                else:
                    at += size
            number += 1
        if size > 1 or smallest == before:
            size //= 2
    return [segment for segment in smallest if segment]
