"""PureProxy: passes all mail on to another server."""

from __future__ import annotations

import socket
import sys
import threading
import time
from functools import partial

import smtpd_compat

from .._asyncore import asyncore
from .._eras._arguments import accepts
from .._server import SMTPServer
from .._tracing import public, trace_if_possible, tracing
from ._blocking import deliver, endpoint, is_upstream_of_itself
from ._outgoing import Message, insert_x_peer, octets
from ._pool import Job, Pool, Waiting
from ._replies import NO_REPLY, answer, is_accepting

TYPE_CHECKING = bool()
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from .._connection._session import Message as Handed
    from ._replies import Refused, Reply


#: The data that a handler of ours hands on to `_deliver`, on this thread.
_handing_on = threading.local()


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

    :raises ValueError: if the keyword *enable_SMTPUTF8* is true, or if *remoteaddr* is
        the address on which this server listens.

    Subclasses set, besides the attributes of `SMTPServer`:

    ``upstream_timeout``
        Seconds that upstream may take for a reply, or for reading some of the message
        (RFC 5321, 4.5.3.2 asks for five minutes, and more than that of the client, who
        waits for us).  None: for ever.
    ``upstream_sessions``
        Connections to upstream that may be open at once.  Where upstream refuses that
        many, fewer are used for a while.
    ``upstream_keep``
        Seconds for which a connection that has nothing to do is kept for the next
        message.  0: not at all.
    ``upstream_queue``
        Messages that may wait for a connection; the client of one more hears 451.
    ``upstream_queue_timeout``
        Seconds for which a message may wait for a connection; then its client hears
        451.  None: for ever.

    A subclass that overrides `process_message` or ``_deliver`` opens a connection for
    each message, and waits for upstream on the loop's thread, or in threads if it sets
    ``worker_threads``.  Of the last four, only ``upstream_queue_timeout`` holds there.
    """

    worker_threads = 64
    upstream_timeout: float | None = 300.0
    upstream_sessions: int = 256
    upstream_keep: float = 5.0
    upstream_queue: int = 4096
    upstream_queue_timeout: float | None = 120.0

    _smtpd_upstream: Pool | None = None

    if not TYPE_CHECKING:  # or type checkers would let any arguments pass

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            if kwargs.get("enable_SMTPUTF8"):
                raise ValueError("PureProxy does not support SMTPUTF8.")
            super().__init__(*args, **kwargs)
            remoteaddr = self._remoteaddr
            own = type(self)._smtpd_process_message
            if _is_bundled(self, own) and is_upstream_of_itself(
                self.socket, remoteaddr
            ):
                self.close()
                raise ValueError(f"{remoteaddr} is the address of the relay itself")

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

    #: What this class has for it, where no program has overridden that.
    _smtpd_process_message = process_message

    def _smtpd_forward(
        self,
        mailfrom: str,
        rcpttos: list[str],
        data: bytes | str,
        kwargs: Mapping[str, Any],
    ) -> Refused:
        """Call `_deliver`; overridden ones may take no more than three arguments."""
        message: tuple[Any, ...] = (mailfrom, rcpttos, data)
        if "SMTPUTF8" in kwargs.get("mail_options", ()):
            with_options = (*message, ["SMTPUTF8"])
            if accepts(self._deliver, *with_options):
                message = with_options
        _handing_on.data = data
        try:
            return self._deliver(*message)
        finally:
            _handing_on.data = None

    def _deliver(
        self,
        mailfrom: str,
        rcpttos: list[str],
        data: Any,
        mail_options: Iterable[str] = (),
    ) -> dict[str, Any]:  # for overriding methods that return what smtplib does
        """Send a message to the upstream server; to be called, or to be overridden.

        :param data: the message, ``bytes`` or ``str``.  What `process_message` hands on
            lacks the end of its last line, even if that is empty; other text may have
            it.
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
        smtplib = _replaced_smtplib()
        if smtplib is not None:
            return _deliver_by(smtplib, self._remoteaddr, mailfrom, rcpttos, data)
        try:
            message = Message(
                mailfrom,
                rcpttos,
                octets(data),
                is_complete=data is not getattr(_handing_on, "data", None),
                smtputf8="SMTPUTF8" in mail_options,
            )
            outcome, failure = deliver(
                endpoint(self._remoteaddr), message, self.upstream_timeout
            )
        except (OSError, ValueError, OverflowError) as error:
            # Not there; or a host, a port, or text that cannot be encoded.
            trace_if_possible("got", error.__class__)
            return dict.fromkeys(rcpttos, NO_REPLY)
        return refused_in(outcome, failure)

    # Without waiting

    def _smtpd_take_message(
        self,
        call: Callable[[], Any],
        message: Handed,
        answered: Callable[[Callable[[], Any]], None],
    ) -> bool:
        """Relay a message while the loop goes on, if nobody else has a say in that."""
        peer, mailfrom, rcpttos = message.envelope
        channel = message.channel
        if not _is_bundled(self):
            waiting = Waiting(channel.socket)
            waiting.begin()

            def call_in_turn() -> Any:
                now = time.monotonic()
                if waiting.is_gone(now) or waiting.is_too_late(
                    now, self.upstream_queue_timeout
                ):
                    return answer(rcpttos, dict.fromkeys(rcpttos, NO_REPLY))
                return call()

            return super()._smtpd_take_message(call_in_turn, message, answered)

        def bring(outcome: Mapping[str, Reply], failure: Any, at_once: bool) -> None:
            answered(partial(_reply_for, rcpttos, outcome, failure))
            if at_once and channel.connected and not channel._smtpd.in_turn:
                # As asyncore does for a channel with something to do.
                asyncore.write(channel)

        unique = list(dict.fromkeys(rcpttos))
        smtputf8 = "SMTPUTF8" in message.options["mail_options"]
        data = octets(message.data)
        outgoing = Message(mailfrom, unique, data, peer, smtputf8=smtputf8)
        self._smtpd_pool().submit(Job(outgoing, bring, channel.socket))
        return True

    def _smtpd_pool(self) -> Pool:
        pool = self._smtpd_upstream
        if pool is None or pool.remoteaddr != self._remoteaddr:
            if pool is not None:
                pool.close()
            pool = self._smtpd_upstream = Pool(self)
        return pool

    def close(self) -> None:
        """Stop listening; messages in hand are still delivered and answered."""
        super().close()
        if self._smtpd_upstream is not None:
            self._smtpd_upstream.close()


_PROCESS_MESSAGE = PureProxy.process_message
_DELIVER = PureProxy._deliver
_CREATE_CONNECTION = socket.create_connection


def _is_bundled(server: PureProxy, process_message: Any = _PROCESS_MESSAGE) -> bool:
    """Whether *process_message* relays, and nobody else has a say in that.

    Programs' tests put something of their own in the place of smtplib, or of
    ``socket.create_connection``, which it calls.
    """
    names = vars(server)
    cls = type(server)
    return (
        cls.process_message is process_message
        and cls._deliver is _DELIVER
        and "process_message" not in names
        and "_deliver" not in names
        and smtpd_compat.socket.create_connection is _CREATE_CONNECTION
        and _replaced_smtplib() is None
    )


def _reply_for(
    rcpttos: list[str], outcome: Mapping[str, Reply], failure: Any
) -> str | None:
    refused = refused_in(outcome, failure)
    if tracing():
        trace_if_possible("we got some refusals:", refused)
    return answer(rcpttos, refused)


def refused_in(outcome: Mapping[str, Reply], failure: Any) -> Refused:
    """The recipients that did not get the message; the debug stream shows *failure*."""
    trace_failure(failure)
    return {to: reply for to, reply in outcome.items() if not is_accepting(reply)}


def trace_failure(failure: Any) -> None:
    """Show an exception's class, as the original does.

    :param failure: the class, or the name of one of smtplib's; ``''`` for none.
    """
    if isinstance(failure, type):
        trace_if_possible("got", failure)
    elif failure == "SMTPRecipientsRefused":
        trace_if_possible("got SMTPRecipientsRefused")
    elif failure:
        trace_if_possible(f"got <class 'smtplib.{failure}'>")


def _replaced_smtplib() -> Any:
    """smtplib, if a program or a test has put something of its own there; else None.

    Programs' tests replace ``smtplib.SMTP``, or methods of it, and look at what was
    done with them.
    """
    smtplib = sys.modules.get("smtplib")
    if smtplib is None:
        return None
    names = vars(smtplib)
    cls = names.get("SMTP")
    if type(cls) is not type or cls.__module__ != "smtplib":
        return smtplib
    for name in ("__init__", "connect", "sendmail", "quit"):
        if getattr(vars(cls).get(name), "__globals__", None) is not names:
            return smtplib
    return None


def _deliver_by(
    smtplib: Any, remoteaddr: Any, mailfrom: str, rcpttos: list[str], data: bytes | str
) -> Refused:
    """Send a message as the original does, by what stands in the place of smtplib."""
    try:
        connection = smtplib.SMTP()
        connection.connect(remoteaddr[0], remoteaddr[1])
        try:
            refused: Refused = connection.sendmail(mailfrom, rcpttos, data)
        finally:
            connection.quit()
        return refused
    except smtplib.SMTPRecipientsRefused as error:
        trace_if_possible("got SMTPRecipientsRefused")
        last = [NO_REPLY, *error.recipients.values()][-1]
        return {to: error.recipients.get(to, last) for to in rcpttos}
    except (OSError, smtplib.SMTPException) as error:
        trace_if_possible("got", error.__class__)
        code, text = NO_REPLY
        reply = getattr(error, "smtp_code", code), getattr(error, "smtp_error", text)
        return dict.fromkeys(rcpttos, reply)
