"""PureProxy: passes all mail on to another server."""

from __future__ import annotations

import smtplib

from .._eras._arguments import accepts
from .._server import SMTPServer
from .._tracing import public, trace_if_possible
from ._replies import (
    BAD_ADDRESS,
    NO_REPLY,
    NO_SMTPUTF8,
    answer,
    canonical,
    insert_x_peer,
    is_sendable,
)
from ._upstream import (
    check_greeting,
    offered_options,
    quit_quickly,
    reply_in,
    take_all_success_for_250,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from ._replies import Refused


@public
class PureProxy(SMTPServer):
    """A server that relays every message to *remoteaddr* while the client waits.

    Arguments are those of `SMTPServer`, without *enable_SMTPUTF8*.

    The client hears ``250 OK`` only if the upstream server took the message for every
    recipient.  If it took it for nobody, the client hears upstream's own reply, or 451
    if there was none (not reachable, silent, connection lost), and may try again where
    that begins with a 4.  If upstream took it for some recipients only, the client
    hears 554, which names the others and says why.

    Anybody who can connect can send mail through upstream, so take care not to become
    an open relay.

    :raises ValueError: if the keyword *enable_SMTPUTF8* is true.

    Subclasses set, besides the attributes of `SMTPServer`:

    ``upstream_timeout``
        Seconds for which upstream may be silent (RFC 5321, 4.5.3.2 asks for five
        minutes, and more than that of the client, who waits for us).  None: for ever.
    """

    worker_threads = 64
    upstream_timeout: float | None = 300.0

    if not TYPE_CHECKING:  # or type checkers would let any arguments pass

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            if kwargs.get("enable_SMTPUTF8"):
                raise ValueError("PureProxy does not support SMTPUTF8.")
            super().__init__(*args, **kwargs)

    def process_message(
        self,
        peer: Any,
        mailfrom: str,
        rcpttos: list[str],
        data: Any,
        **kwargs: Any,
    ) -> str | None:
        """Relay a message, with the client's address in an X-Peer header.

        Arguments are those of `SMTPServer.process_message`.

        :returns: None, or the reply that says who did not get the message, and why.
        """
        data = insert_x_peer(data, peer)
        refused = self._smtpd_forward(mailfrom, rcpttos, data, kwargs)
        trace_if_possible("we got some refusals:", refused)
        return answer(rcpttos, refused)

    def _smtpd_forward(
        self,
        mailfrom: str,
        rcpttos: list[str],
        data: bytes | str,
        kwargs: Mapping[str, Any],
    ) -> Refused:
        """Call `_deliver`; overridden ones may take no more than three arguments."""
        if "SMTPUTF8" in kwargs.get("mail_options", ()):
            message = (mailfrom, rcpttos, data, ["SMTPUTF8"])
            if accepts(self._deliver, *message):
                return self._deliver(*message)
        return self._deliver(mailfrom, rcpttos, data)

    def _deliver(
        self,
        mailfrom: str,
        rcpttos: list[str],
        data: Any,
        mail_options: Iterable[str] = (),
    ) -> dict[str, Any]:  # for overriding methods that return what smtplib does
        """Send a message to the upstream server; to be called, or to be overridden.

        :param mail_options: parameters of MAIL that the client gave and the message
            does not show, sent if upstream offers them; only ever given as
            ``['SMTPUTF8']``, so that overriding methods can do without.
        :returns: the recipients that did not get the message, each with code and text
            of the reply (``(-1, 'ignore')`` if there was none).  An empty dictionary
            says that upstream took the message for all.
        """
        if isinstance(rcpttos, str):  # smtplib takes a single one too
            rcpttos = [rcpttos]
        rcpttos = list(dict.fromkeys(rcpttos))
        try:
            connection = smtplib.SMTP()
            take_all_success_for_250(connection)
            connection.timeout = self.upstream_timeout  # type: ignore[assignment]
            greeting = connection.connect(self._remoteaddr[0], self._remoteaddr[1])
            try:
                check_greeting(greeting)
                return _send(connection, mailfrom, rcpttos, data, mail_options)
            finally:
                quit_quickly(connection)
        except smtplib.SMTPRecipientsRefused as error:
            trace_if_possible("got SMTPRecipientsRefused")
            # Also raised when upstream goes away after one of them: nobody got the
            # message, and the last reply holds for those that it does not list.
            last = [NO_REPLY, *error.recipients.values()][-1]
            return {to: error.recipients.get(to, last) for to in rcpttos}
        except (OSError, smtplib.SMTPException) as error:
            trace_if_possible("got", error.__class__)
            return dict.fromkeys(rcpttos, reply_in(error))


def _send(
    connection: smtplib.SMTP,
    mailfrom: str,
    rcpttos: list[str],
    data: bytes | str,
    mail_options: Iterable[str],
) -> Refused:
    """Send a message; who is refused before it is sent is in the result, too."""
    if not is_sendable(mailfrom):
        return dict.fromkeys(rcpttos, BAD_ADDRESS)
    refused: Refused = {to: BAD_ADDRESS for to in rcpttos if not is_sendable(to)}
    options = offered_options(connection, [mailfrom, *rcpttos], data, mail_options)
    if "SMTPUTF8" not in options:
        if not mailfrom.isascii():
            return dict.fromkeys(rcpttos, NO_SMTPUTF8)
        refused.update({to: NO_SMTPUTF8 for to in rcpttos if not to.isascii()})
    rcpttos = [to for to in rcpttos if to not in refused]
    if not rcpttos:
        return refused
    if not isinstance(data, str) or not data.isascii():  # smtplib does the others
        data = canonical(data)
    if options:
        refused.update(connection.sendmail(mailfrom, rcpttos, data, options))
    else:
        refused.update(connection.sendmail(mailfrom, rcpttos, data))
    return refused
