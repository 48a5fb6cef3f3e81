"""Threads that take turns as often as they can."""

from __future__ import annotations

import sys
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def in_threads(works: Sequence[Callable[[], object]]) -> None:
    """Do each of *works* in a thread, all at once; raise what one of them raises."""
    errors: list[BaseException] = []
    all_there = threading.Barrier(len(works))

    def do(work: Callable[[], object]) -> None:
        all_there.wait()
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=do, args=(work,)) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    for error in errors:
        raise error
