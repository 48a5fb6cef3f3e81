"""Have what nothing refers to collected."""

from __future__ import annotations

import gc


def collect() -> None:
    """Collect garbage until nothing is left: on PyPy, once does not do."""
    for _ in range(3):
        gc.collect()
