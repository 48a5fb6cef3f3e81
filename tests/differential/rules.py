"""The listed departures, each as an amendment of the original.

A rule is a mixin that repairs one failure of the original from outside, by overriding
what a subclass may override, and notes it in the transcript when that changed
something.  Where our transcript is not the original's, it has to be that of the
original with these amendments, up to the last octet and attribute (see
`compare.judge`).  So a rule excuses what its row of the table of differences says, and
nothing before it, beside it or after it.
"""

from __future__ import annotations

from . import amendments, server_amendments
from .drive import Bench

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: All amendments.
RULES = (
    amendments.BELOW
    + amendments.OF_ADDRESSES
    + amendments.ABOVE
    + server_amendments.OF_ALL
    + server_amendments.OF_RELAYS
    + server_amendments.OF_STREAMS
)

#: The names of all rules.
NAMES = frozenset(rule.row for rule in RULES)

#: The names of those where the original dies (rule 2 of fidelity).
WHERE_IT_DIES = frozenset(rule.row for rule in RULES if rule.number == 2)


def amended(original: Any) -> Bench:
    """A bench with the amended original."""

    def below(cls: Any) -> Any:
        return type("SMTPChannel", (*amendments.BELOW, amendments.Mailbox, cls), {})

    def above(cls: Any) -> Any:
        return type(cls.__name__, (*amendments.ABOVE, cls), {})

    def server(cls: Any) -> Any:
        relay = (server_amendments.Relay,) if hasattr(cls, "_deliver") else ()
        return type(cls.__name__, (*relay, *server_amendments.OF_ALL, cls), {})

    return Bench(
        original,
        channel_base=below,
        channel=above,
        server=server,
        stream=server_amendments.Written,
    )
