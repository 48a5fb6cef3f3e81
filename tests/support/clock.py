"""Time passes as the test says."""

from __future__ import annotations

import time
from types import SimpleNamespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest


def tell(monkeypatch: pytest.MonkeyPatch, now: Callable[[], float]) -> None:
    """Have *now* be the clock of channels, servers and the loop."""
    clock = SimpleNamespace(monotonic=now, sleep=time.sleep)
    for module in ("_channel", "_clients", "_loop", "_server"):
        monkeypatch.setattr(f"smtpd_compat.{module}.time", clock)


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Have that clock be *seconds* ahead of the system's."""
    tell(monkeypatch, lambda: time.monotonic() + seconds)
