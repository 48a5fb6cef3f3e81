"""What our clients of SMTP and LMTP servers have in common, around smtplib."""

from __future__ import annotations

import smtplib
import socket

from .._tracing import trace_if_possible
from ._replies import NO_REPLY, is_accepting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from ._replies import Reply

#: Seconds to wait for the answer to QUIT, while a client waits for ours.
_QUIT_TIMEOUT = 5.0


def check_greeting(greeting: Any) -> None:
    """Look at what ``connect`` returned, which smtplib leaves to its callers.

    :raises smtplib.SMTPConnectError: if the server does not want to talk.
    """
    if isinstance(greeting, tuple) and greeting[0] != 220:
        raise smtplib.SMTPConnectError(*greeting)


def offered_options(
    connection: smtplib.SMTP,
    addresses: Iterable[str],
    data: bytes | str,
    wanted: Iterable[str] = (),
) -> list[str]:
    """The parameters of MAIL that a message needs, as far as the server offers them.

    They are BODY=8BITMIME (RFC 6152) and SMTPUTF8 (RFC 6531); the latter also if it is
    among *wanted*.
    """
    needed = {}
    if not data.isascii():
        needed["8bitmime"] = "BODY=8BITMIME"
    if "SMTPUTF8" in wanted or not all(address.isascii() for address in addresses):
        needed["smtputf8"] = "SMTPUTF8"
    if needed:
        connection.ehlo_or_helo_if_needed()
    return [option for name, option in needed.items() if connection.has_extn(name)]


def reply_in(error: OSError) -> Reply:
    """The server's reply that smtplib raised as *error*, or what stands for none."""
    if type(error) is smtplib.SMTPResponseException:
        return NO_REPLY  # raised for what smtplib cannot read, with a code of its own
    code, text = NO_REPLY
    return getattr(error, "smtp_code", code), getattr(error, "smtp_error", text)


def quit_quickly(connection: smtplib.SMTP) -> None:
    """Say QUIT; whatever comes of it, the message's fate is decided already."""
    sock = getattr(connection, "sock", False)
    if sock is None:
        return  # the connection is lost
    try:
        if isinstance(sock, socket.socket):
            sock.settimeout(_QUIT_TIMEOUT)
        connection.quit()
    except (OSError, smtplib.SMTPException) as error:
        trace_if_possible("got", error.__class__)
        connection.close()


def take_all_success_for_250(connection: smtplib.SMTP) -> None:
    """Have ``sendmail`` take any 2yz reply to the data for success.

    It takes 250 alone.  But a message that the server has, whatever it calls that (RFC
    5321, 4.3.2 does not let it say otherwise), must not be sent again.
    """
    data = connection.data

    def data_taken(message: Any) -> Any:
        reply = data(message)
        return (250, reply[1]) if is_accepting(reply) else reply

    connection.data = data_taken  # type: ignore[assignment, method-assign]
