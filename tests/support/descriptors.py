"""Have many descriptors, or few, or none."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from typing import Callable

import pytest


@contextlib.contextmanager
def descriptors(limit: int) -> Iterator[None]:
    """Have *limit* descriptors, where the system gives that many."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < limit:
        pytest.skip(f"the system gives no {limit} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextlib.contextmanager
def none_below(limit: int) -> Iterator[None]:
    """Take every free descriptor below *limit*."""
    with tempfile.TemporaryFile() as file:
        taken = [file.fileno()]
        try:
            while taken[-1] < limit - 1:
                taken.append(os.dup(taken[0]))
            yield
        finally:
            for descriptor in taken[1:]:
                os.close(descriptor)


@contextlib.contextmanager
def no_descriptors_left() -> Iterator[Callable[[], None]]:
    """Nothing can be opened but what is closed; what is yielded gives more."""
    resource = pytest.importorskip("resource")
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("nothing tells which descriptors are taken")
    highest = max(map(int, os.listdir("/proc/self/fd")))
    with none_below(highest + 2):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

        def give_back() -> None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

        limit = os.dup(1)
        os.close(limit)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        try:
            with pytest.raises(OSError):
                os.dup(1)
            yield give_back
        finally:
            give_back()
