"""An LMTP client (RFC 2033) that reads the reply for every recipient.

``smtplib.LMTP`` reads one reply after the data, takes it for all recipients, and takes
the replies that follow for those to its next commands.
"""

from __future__ import annotations

import smtplib

from ._replies import (
    BAD_ADDRESS,
    NO_REPLY,
    NO_SMTPUTF8,
    canonical,
    is_accepting,
    is_sendable,
)
from ._upstream import check_greeting, offered_options, quit_quickly, reply_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._replies import Reply

_SERVICE_CLOSING = 221


class Transaction:
    """One message for an LMTP server.

    :param host: the server's host.
    :param port: its port.
    :param timeout: seconds for which the server may be silent; None for ever.
    """

    def __init__(self, host: str, port: int, timeout: float | None) -> None:
        self._address = host, port
        self._connection = smtplib.LMTP()
        self._connection.timeout = timeout  # type: ignore[assignment]
        self._data = b""
        self._has_smtputf8 = False
        self._accepted = 0

    def begin(self, mailfrom: str, rcpttos: Iterable[str], data: bytes | str) -> None:
        """Connect and send MAIL.

        :param rcpttos: the recipients that may be offered.
        :param data: the message, for `send`.
        :raises OSError: if the server is not there, is silent, or refuses: an
            ``smtplib.SMTPConnectError``, ``SMTPHeloError`` or ``SMTPSenderRefused``.
        """
        connection = self._connection
        check_greeting(connection.connect(*self._address))
        code, text = connection.ehlo()
        if not is_accepting((code, text)):
            raise smtplib.SMTPHeloError(code, text)
        options = offered_options(connection, [mailfrom, *rcpttos], data)
        self._has_smtputf8 = "SMTPUTF8" in options
        refusal = self._cannot_send(mailfrom)
        if refusal is None:
            code, text = connection.mail(mailfrom, options)
            refusal = None if is_accepting((code, text)) else (code, text)
        if refusal is not None:
            raise smtplib.SMTPSenderRefused(*refusal, mailfrom)  # type: ignore[arg-type]
        self._data = canonical(data)

    def offer(self, recipient: str) -> Reply:
        """Send RCPT.

        :returns: the reply, which `is_accepting` tells apart.
        :raises OSError: if there is none.
        """
        refusal = self._cannot_send(recipient)
        if refusal is not None:
            return refusal
        reply: Reply = self._connection.rcpt(recipient)
        self._accepted += is_accepting(reply)
        return reply

    def send(self) -> list[Reply]:
        """Send the message to the recipients that were accepted.

        :returns: the reply for each, in their order; ``(-1, 'ignore')`` where the
            server has not said what became of the message.
        """
        replies: list[Reply] = []
        if self._accepted:
            try:
                replies.append(self._connection.data(self._data))
                if self._accepted > 1:
                    self._read_the_others(replies)
            except OSError as error:
                if not replies:
                    return [reply_in(error)] * self._accepted
        return replies + [NO_REPLY] * (self._accepted - len(replies))

    def close(self) -> None:
        """End the connection, whatever state it is in."""
        quit_quickly(self._connection)

    def _read_the_others(self, replies: list[Reply]) -> None:
        """Add the replies for all recipients but the first, however many there are.

        Some servers give one reply for all of them, above all when they refuse the
        message.  The reply to a QUIT that is sent ahead shows where the others end.
        """
        connection = self._connection
        connection.putcmd("quit")
        while len(replies) < self._accepted:
            reply: Reply = connection.getreply()
            if reply[0] == _SERVICE_CLOSING:
                if len(replies) == 1:
                    replies *= self._accepted
                break
            replies.append(reply)
        connection.close()

    def _cannot_send(self, address: str) -> Reply | None:
        """The refusal of an address that cannot be said to this server."""
        if not is_sendable(address):
            return BAD_ADDRESS
        if not self._has_smtputf8 and not address.isascii():
            return NO_SMTPUTF8
        return None
