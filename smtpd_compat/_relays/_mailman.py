"""MailmanProxy: passes mail on to Mailman, or to a server if it is not Mailman's."""

from __future__ import annotations

from contextlib import closing
from io import StringIO

import smtpd_compat

from .._tracing import log_caught, public, trace_if_possible
from ._blocking import Session
from ._outgoing import Message, octets
from ._pure import PureProxy, trace_failure
from ._replies import NO_REPLY, answer, is_accepting, is_temporary

TYPE_CHECKING = bool()
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ._replies import Refused, Reply

_OK = (250, "OK")
_NOT_MAILMANS = (550, "mailbox unavailable")

#: How Mailman 2 is told what a list's address is for, and the subject that stands for
#: the command in it.
_MAILMAN_2_COMMANDS = {
    "": ("tolist", None),
    "admin": ("toadmin", None),
    "owner": ("toowner", None),
    "request": ("torequest", None),
    "join": ("torequest", "subscribe"),
    "leave": ("torequest", "unsubscribe"),
}


@public
class MailmanProxy(PureProxy):
    """A server that hands mail to Mailman, and relays the rest as `PureProxy` does.

    Arguments are those of `PureProxy`.

    If a package ``Mailman`` (that of Mailman 2) can be imported, it is asked which
    addresses are its own.  Otherwise Mailman 3 is, by LMTP (RFC 2033), as mail servers
    do: an address that it accepts is its own.  While it does not run, nobody knows
    which those are, and the client hears 451 for every message.

    The client gets one answer for all recipients, true as that of `PureProxy`.  The
    message goes to upstream first, since that is more likely to fail, while Mailman
    waits with the recipients that it has accepted.  If upstream takes it for nobody
    now, but may do so later, Mailman does not get it either, so that the client can
    try again and nothing arrives twice.

    Up to 3.3.5, Mailman 3 accepts all recipients, and refuses those that are not its
    own after the message; these then go to upstream.  What such a Mailman refuses to
    read is refused for all recipients.

    ``LIST-admin``, which Mailman 3 does not have, is offered to it as ``LIST-owner``,
    and as it is if there is no such list.

    :raises ValueError: as `PureProxy` does.

    Subclasses set, besides the attributes of `PureProxy`:

    ``mailman_host``, ``mailman_port``
        Where Mailman 3 listens for LMTP.
    ``mailman_timeout``
        Seconds for which Mailman 3 may be silent.  None: for ever.
    """

    worker_threads = 64
    mailman_host: str = "127.0.0.1"
    mailman_port: int = 8024
    mailman_timeout: float | None = 300.0

    if not TYPE_CHECKING:  # or type checkers would let any arguments pass

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            if kwargs.get("enable_SMTPUTF8"):
                raise ValueError("MailmanProxy does not support SMTPUTF8.")
            super().__init__(*args, **kwargs)

    def process_message(
        self,
        peer: Any,
        mailfrom: str,
        rcpttos: list[str],
        data: Any,
        **kwargs: Any,
    ) -> str | None:
        """Hand a message to Mailman, to upstream, or to both.

        Arguments are those of `SMTPServer.process_message`.

        :returns: None, or the reply that says who did not get the message, and why.
        """
        rcpttos = list(dict.fromkeys(rcpttos))
        with closing(_mailman_for(self, mailfrom, rcpttos, data)) as mailman:
            refused = self._smtpd_deliver_past(mailman, mailfrom, rcpttos, data, kwargs)
        return answer(rcpttos, refused)

    _smtpd_process_message = process_message

    def _smtpd_deliver_past(
        self,
        mailman: _Mailman2 | _Mailman3,
        mailfrom: str,
        rcpttos: list[str],
        data: bytes | str,
        kwargs: Mapping[str, Any],
    ) -> Refused:
        """Deliver to upstream, then to Mailman; the recipients that were refused."""
        try:
            offered = mailman.offer()
        except _Unwilling as error:
            return dict.fromkeys(rcpttos, error.reply)
        except OSError as error:
            trace_if_possible("got", error.__class__)
            return dict.fromkeys(rcpttos, NO_REPLY)
        undecided = [reply for reply in offered.values() if _may_change(reply)]
        if undecided:
            return dict.fromkeys(rcpttos, undecided[0])
        lists = [to for to in rcpttos if is_accepting(offered[to])]
        others = [to for to in rcpttos if not is_accepting(offered[to])]
        refused = self._smtpd_relay(mailfrom, others, data, kwargs)
        undecided = [reply for reply in refused.values() if _may_change(reply)]
        if undecided and len(refused) >= len(others):
            refused.update(dict.fromkeys(lists, undecided[0]))
            return refused
        for to in lists:
            trace_if_possible("sending message to", to)
        strangers = []
        for to, reply in zip(lists, mailman.send()):
            if _is_unknown(reply):
                strangers.append(to)
            elif not is_accepting(reply):
                refused[to] = reply
        if strangers:
            refused.update(self._smtpd_relay(mailfrom, strangers, data, kwargs))
        return refused

    def _smtpd_relay(
        self,
        mailfrom: str,
        rcpttos: list[str],
        data: bytes | str,
        kwargs: Mapping[str, Any],
    ) -> Refused:
        """Send a message to upstream, if there is anybody to send it to."""
        trace_if_possible("forwarding recips:", " ".join(rcpttos))
        if not rcpttos:
            return {}
        refused = self._smtpd_forward(mailfrom, rcpttos, data, kwargs)
        trace_if_possible("we got refusals:", refused)
        return dict(refused or {})


class _Unwilling(Exception):
    """Mailman said *reply* before it was asked about a recipient."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply


def _may_change(reply: Reply) -> bool:
    """Whether it may be otherwise when the client tries again."""
    return not is_accepting(reply) and is_temporary(reply)


def _mailman_for(
    server: MailmanProxy, mailfrom: str, rcpttos: list[str], data: bytes | str
) -> _Mailman2 | _Mailman3:
    """What takes a message to the Mailman that is there."""
    try:
        from Mailman import MailList, Message, Utils  # type: ignore[import-not-found]
    except (ImportError, SyntaxError):
        return _Mailman3(server, mailfrom, rcpttos, data)
    return _Mailman2((MailList, Message, Utils), server, mailfrom, rcpttos, data)


class _Mailman2:
    """A message for Mailman 2, by way of its Python package."""

    def __init__(
        self,
        modules: tuple[Any, Any, Any],
        server: MailmanProxy,
        mailfrom: str,
        rcpttos: list[str],
        data: bytes | str,
    ) -> None:
        self._mail_list, self._message, self._utils = modules
        self._server = server
        self._mailfrom = mailfrom
        self._rcpttos = rcpttos
        if isinstance(data, bytes):
            data = data.decode("utf-8", "surrogateescape")
        self._text = data
        self._lists: list[tuple[str, str]] = []

    def close(self) -> None:
        """Nothing is open."""

    def offer(self) -> dict[str, Reply]:
        """Ask which recipients are Mailman's."""
        replies: dict[str, Reply] = {}
        for recipient in self._rcpttos:
            found = self._find_list(recipient)
            replies[recipient] = _OK if found else _NOT_MAILMANS
            if found:
                self._lists.append(found)
        return replies

    def send(self) -> list[Reply]:
        """Hand the message over, for each of Mailman's recipients."""
        return [self._enqueue(*found) for found in self._lists]

    def _find_list(self, recipient: str) -> tuple[str, str] | None:
        """The list that *recipient* belongs to, and the command in it."""
        local_part = recipient.lower().rsplit("@", 1)[0]
        name, _, command = local_part.rpartition("-")
        if command in _MAILMAN_2_COMMANDS and self._utils.list_exists(name):
            return name, command
        if self._utils.list_exists(local_part):
            return local_part, ""
        return None

    def _enqueue(self, name: str, command: str) -> Reply:
        purpose, subject = _MAILMAN_2_COMMANDS[command]
        try:
            message = self._message.Message(StringIO(self._text))
            if not message.get("from"):
                message["From"] = self._mailfrom
            if not message.get("date"):
                time = smtpd_compat.time
                message["Date"] = time.ctime(time.time())
            if subject:
                message["Subject"] = subject
            message.Enqueue(self._mail_list.MailList(name, lock=0), **{purpose: 1})
        except Exception:  # noqa: BLE001 - one recipient's failure, others have it
            log_caught(self._server, "keeping")
            return NO_REPLY
        return _OK


class _Mailman3:
    """A message for Mailman 3, by LMTP."""

    def __init__(
        self,
        server: MailmanProxy,
        mailfrom: str,
        rcpttos: list[str],
        data: bytes | str,
    ) -> None:
        self._server = server
        self._mailfrom = mailfrom
        self._names = {recipient: _names(recipient) for recipient in rcpttos}
        self._data = octets(data)
        self._session: Session | None = None
        #: What it took the recipients as.
        self._accepted: list[str] = []

    def close(self) -> None:
        """End the connection, whatever state it is in."""
        if self._session is not None:
            self._session.close()

    def offer(self) -> dict[str, Reply]:
        """Ask which recipients are Mailman's, until it cannot tell for one of them.

        :raises OSError: if it is not there.
        :raises _Unwilling: if it does not take any message, or not this sender's.
        """
        server = self._server
        address = server.mailman_host, server.mailman_port
        self._session = session = Session(address, server.mailman_timeout, lmtp=True)
        talk = session.talk
        is_utf8 = not all(map(str.isascii, self._names))
        message = Message(self._mailfrom, [], self._data, smtputf8=is_utf8)
        talk.deliver(message, hold=True)
        session.run(lambda: talk.progress or talk.fate is not None)
        if talk.fate is not None:
            trace_failure(talk.failure)
            raise _Unwilling(talk.fate)
        replies: dict[str, Reply] = {}
        for recipient, names in self._names.items():
            replies[recipient] = self._offer_one(session, names)
            if _may_change(replies[recipient]):
                break
        return replies

    def send(self) -> list[Reply]:
        """Hand the message over to those of the recipients that are Mailman's."""
        if not self._accepted:
            return []
        assert self._session is not None
        talk = self._session.talk
        talk.go_on()
        self._session.run(lambda: talk.outcome is not None)
        assert talk.outcome is not None
        return [talk.outcome[name] for name in self._accepted]

    def _offer_one(self, session: Session, names: list[str]) -> Reply:
        talk = session.talk
        reply = NO_REPLY
        for name in names:
            if talk.reply_to(name) is None:  # or another recipient is called this too
                talk.offer(name)
            session.run(lambda name=name: talk.reply_to(name) is not None)  # type: ignore[misc]
            reply = talk.reply_to(name) or NO_REPLY
            if is_accepting(reply):
                self._accepted.append(name)
            if is_accepting(reply) or _may_change(reply):
                break
        return reply


def _names(recipient: str) -> list[str]:
    """What *recipient* may be called in Mailman 3; the first that it knows counts."""
    local_part, at, domain = recipient.rpartition("@")
    if local_part.lower().endswith("-admin"):
        return [local_part[: -len("admin")] + "owner" + at + domain, recipient]
    return [recipient]


def _is_unknown(reply: Reply) -> bool:
    """Whether Mailman 3 says, after the message, that there is no such list."""
    code, text = reply
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    # Some versions give 550 to messages without one.
    return code == 550 and "message-id" not in text.lower()
