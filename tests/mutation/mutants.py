"""A mutant: one small change of a module."""

from __future__ import annotations


class Mutant:
    """One change: what stands from *start* to *end* (octets) becomes *new*."""

    def __init__(self, module, node_lines, kind, start, end, new, what, scope, names):
        self.module, self.lines, self.kind = module, node_lines, kind
        self.start, self.end, self.new, self.what = start, end, new, what
        self.scope, self.names = scope, names

    def key(self):
        place = f"{self.module}:{self.lines[0]}:{self.start}:{self.end}"
        return f"{place}:{self.kind}:{self.new}"


def apply(text: str, m: Mutant) -> str:
    """*text* with the mutant *m* in it."""
    data = text.encode()
    return (data[: m.start] + m.new.encode() + data[m.end :]).decode()
