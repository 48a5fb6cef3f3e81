"""The relays' part of what is measured: the cost of passing a message on.

Every relay has an upstream server of its own, in another process
(`programs/upstream.py`), whose time is in none of the figures.
"""

from __future__ import annotations

from typing import Any

from tests.benchmarks import workloads
from tests.benchmarks.workloads import (
    MEGABYTE,
    TAKING_TURNS,
    Target,
    Workload,
    _cpu,
    _memory,
)

_TO_AIOSMTPD = _cpu(0.60, "aiosmtpd-3.11")
_OURS = ("package-3.11", "package-3.13", "package-here")


def _relay(
    name: str, title: str, load: dict[str, Any], bound: float, role: str = "relay"
) -> Workload:
    quick = {"seconds": 0.1}
    targets = (_cpu(bound), _TO_AIOSMTPD)
    return Workload(name, title, "message", load, quick, targets, role)


def _large(name: str, title: str, lines: str) -> Workload:
    load = {"load": "large", "lines": lines, "octets": 32 * MEGABYTE, "beside": True}
    quick = {"octets": MEGABYTE}
    targets = (_memory(2.5), Target("slowest", 0.1))
    return Workload(
        name, title, "MB", load, quick, targets, "relay", only=_OURS, rounds=3
    )


_KEPT = {"load": "kept_open", "sessions": 4, "seconds": 0.5}
_VISITS = {"load": "visits", "at_once": 4, "seconds": 0.5}
_ONE = {"load": "kept_open", "sessions": 1, "seconds": 0.5, **TAKING_TURNS}

RELAYS = [
    _relay("relay-kept-4", "relayed 1 kB messages, 4 sessions kept open", _KEPT, 0.45),
    _relay(
        "relay-visits", "relayed, a connection per message, 4 at once", _VISITS, 0.55
    ),
    _relay("relay-kept-1", "relayed 1 kB messages, 1 session", _ONE, 0.65),
    _relay(
        "relay-pipelining",
        "relayed, 4 sessions, to a server with PIPELINING",
        _KEPT,
        0.45,
        "relay_pipelining",
    ),
    Workload(
        "relay-crowd",
        "500 clients relay a message at once, upstream takes 0.5 s for each",
        "client",
        {"load": "crowd", "clients": 500, "patience": 30.0, "send": True},
        {"clients": 20},
        (Target("failures", 0), Target("slowest", 1.6)),
        "relay_slowly",
        only=_OURS,
    ),
    _large("relay-dots", "32 MB of lines of two dots, relayed", "dots"),
    _large("relay-lines", "32 MB of 76-character lines, relayed", "76-characters"),
]

#: All that is measured.
WORKLOADS = [*workloads.WORKLOADS, *RELAYS]
