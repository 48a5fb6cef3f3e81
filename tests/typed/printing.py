"""A debugging server that counts, and a trace that is kept."""

from __future__ import annotations

from collections import Counter
from typing import Any

import smtpd_compat as smtpd
from smtpd_compat import DATA_SIZE_DEFAULT, DebuggingServer, Devnull


class Counting(DebuggingServer):
    listen_backlog = 5
    worker_threads = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.senders: Counter[str] = Counter()

    def process_message(
        self,
        peer: tuple[str, int],
        mailfrom: str,
        rcpttos: list[str],
        data: bytes | str,
        **kwargs: Any,
    ) -> str | None:
        self.senders[mailfrom] += 1
        status = super().process_message(peer, mailfrom, rcpttos, data, **kwargs)
        return status or f"250 Number {self.senders[mailfrom]} of yours"


class Trace:
    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text


def trace(on: bool) -> Trace:
    kept = Trace()
    smtpd.DEBUGSTREAM = kept if on else Devnull()
    print(smtpd.__version__.lower(), file=smtpd.DEBUGSTREAM)
    return kept


def counting(map: dict[int, Any]) -> Counting:
    return Counting(("127.0.0.1", 0), None, DATA_SIZE_DEFAULT, map, decode_data=True)
