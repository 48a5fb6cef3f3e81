"""Time passes as the test says."""

from __future__ import annotations

from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    import pytest


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Have the clock of channels and servers be *seconds* ahead of the system's."""
    for module in ("_chat", "_channel", "_server"):
        monkeypatch.setattr(
            f"smtpd_compat.{module}.monotonic", lambda: monotonic() + seconds
        )
