"""A proxy that keeps what it hands to Mailman, and one for a Mailman elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import smtpd_compat as smtpd


class Elsewhere(smtpd.MailmanProxy):
    mailman_host = "lists.example.org"
    mailman_port = 24
    mailman_timeout = None
    upstream_timeout = 60


class Keeps(smtpd.MailmanProxy):
    mailman_port = 1

    def __init__(self, folder: Path, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.folder = folder

    def process_message(
        self,
        peer: Any,
        mailfrom: str,
        rcpttos: list[str],
        data: bytes | str,
        **kwargs: Any,
    ) -> str | None:
        content = data.encode() if isinstance(data, str) else data
        (self.folder / f"{mailfrom}.eml").write_bytes(content)
        return super().process_message(peer, mailfrom, rcpttos, data, **kwargs)


def lmtp(server: smtpd.SMTPServer) -> tuple[str, int, float] | None:
    if not isinstance(server, smtpd.MailmanProxy):
        return None
    return server.mailman_host, server.mailman_port, server.mailman_timeout or 0.0
