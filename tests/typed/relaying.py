"""Relays: by smtplib, with a line more, and to some recipients only."""

from __future__ import annotations

import smtplib
from typing import Any, Iterable

import smtpd_compat as smtpd


class BySmtplib(smtpd.PureProxy):
    upstream_timeout = 30

    def __init__(
        self, localaddr: tuple[str, int], remoteaddr: tuple[str, int], **kwargs: Any
    ) -> None:
        super().__init__(localaddr, remoteaddr, **kwargs)
        self.upstream = remoteaddr

    def _deliver(
        self,
        mailfrom: str,
        rcpttos: list[str],
        data: bytes,
        mail_options: Iterable[str] = (),
    ) -> dict[str, tuple[int, bytes]]:
        with smtplib.SMTP(*self.upstream, timeout=30) as connection:
            return connection.sendmail(mailfrom, rcpttos, data, list(mail_options))


class Marks(smtpd.PureProxy):
    upstream_timeout = None

    def process_message(
        self,
        peer: tuple[str, int],
        mailfrom: str,
        rcpttos: list[str],
        data: bytes,
        **kwargs: Any,
    ) -> str | None:
        data = b"X-Relay: here\n" + data
        return super().process_message(peer, mailfrom, rcpttos, data, **kwargs)


class Chooses(smtpd.PureProxy):
    worker_threads = 2

    def _deliver(
        self,
        mailfrom: str,
        rcpttos: list[str],
        data: bytes | str,
        mail_options: Iterable[str] = (),
    ) -> dict[str, Any]:
        ours = [to for to in rcpttos if to.endswith("@example.org")]
        refused = {to: (550, "not here") for to in rcpttos if to not in ours}
        if ours:
            refused.update(super()._deliver(mailfrom, ours, data, mail_options))
        return refused
