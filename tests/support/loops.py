"""The loops in which servers are to run."""

from __future__ import annotations

import selectors

import pytest

import smtpd_compat
from smtpd_compat import asyncore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def poll_loop(**kwargs: Any) -> None:
    """asyncore's, on poll."""
    asyncore.loop(use_poll=True, **kwargs)


def own_loop_on_select(**kwargs: Any) -> None:
    """`smtpd_compat.loop` as on a system that has nothing better than select."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selectors, "DefaultSelector", selectors.SelectSelector)
        smtpd_compat.loop(**kwargs)


#: For tests that take a *loop*: those that a program may call.
LOOPS = pytest.mark.parametrize(
    "loop", [asyncore.loop, poll_loop, smtpd_compat.loop], ids=["select", "poll", "own"]
)
