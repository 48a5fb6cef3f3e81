"""Names that were attributes once."""

from __future__ import annotations

from ._text_hooks import read_by_old_name
from ._warnings import warn_here

TYPE_CHECKING = bool()
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def _renamed(
    old: str, new: str, is_read: Callable[[Any], None] | None = None
) -> property:
    def getter(self: Any) -> Any:
        warn_here(
            f"Access to {old} attribute on SMTPChannel is deprecated,"
            f" use {new!r} instead"
        )
        if is_read is not None:
            is_read(self)
        return getattr(self, new)

    def setter(self: Any, value: Any) -> None:
        warn_here(
            f"Setting {old} attribute on SMTPChannel is deprecated, set {new!r} instead"
        )
        setattr(self, new, value)

    return property(getter, setter)


class OldChannelNames:
    """The eleven private attributes of the channel up to 3.1, and its parser."""

    _SMTPChannel__server = _renamed("__server", "smtp_server")
    _SMTPChannel__line = _renamed("__line", "received_lines", read_by_old_name)
    _SMTPChannel__state = _renamed("__state", "smtp_state")
    _SMTPChannel__greeting = _renamed("__greeting", "seen_greeting")
    _SMTPChannel__mailfrom = _renamed("__mailfrom", "mailfrom")
    _SMTPChannel__rcpttos = _renamed("__rcpttos", "rcpttos")
    _SMTPChannel__data = _renamed("__data", "received_data")
    _SMTPChannel__fqdn = _renamed("__fqdn", "fqdn")
    _SMTPChannel__peer = _renamed("__peer", "peer")
    _SMTPChannel__conn = _renamed("__conn", "conn")
    _SMTPChannel__addr = _renamed("__addr", "addr")

    def _SMTPChannel__getaddr(self, keyword: str, arg: str | None) -> str | None:
        """The mailbox after *keyword*, None if there is none (up to 3.2)."""
        warn_here(
            "SMTPChannel.__getaddr() is deprecated, override smtp_MAIL and smtp_RCPT"
            " by calling theirs and looking at 'mailfrom' and 'rcpttos'"
        )
        channel: Any = self
        rest = channel._strip_command_keyword(keyword, arg or "")
        return channel._getaddr(rest)[0] or None


#: What a socket had in 2.7 and a dispatcher has not.  A program of today may ask
#: whether a server has a ``timeout``, say, and means its own.
_SOCKET_NAMES = frozenset(
    {
        "connect_ex",
        "dup",
        "family",
        "fileno",
        "getpeername",
        "getsockname",
        "getsockopt",
        "gettimeout",
        "makefile",
        "proto",
        "recv_into",
        "recvfrom",
        "recvfrom_into",
        "sendall",
        "sendto",
        "setblocking",
        "setsockopt",
        "settimeout",
        "shutdown",
        "type",
    }
)


# Descriptors and no __getattr__, which would make every attribute of the class slow.


class _OfSocket:
    """A method of the socket's that was the dispatcher's too, as in 2.x."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, dispatcher: Any, owner: type) -> Any:
        try:
            # A mixin's, which comes after us.
            me = owner if dispatcher is None else dispatcher
            return getattr(super(ForwardsToSocket, me), self._name)
        except AttributeError:
            pass
        wrapped = None if dispatcher is None else vars(dispatcher).get("socket")
        if not hasattr(wrapped, self._name):
            raise AttributeError(
                f"{owner.__name__!r} object has no attribute {self._name!r}"
            )
        me = owner.__name__
        warn_here(
            f"{me}.{self._name} is deprecated, use {me}.socket.{self._name} instead"
        )
        return getattr(wrapped, self._name)


class ForwardsToSocket:
    """What a socket has, a dispatcher has: ``server.getsockname()``, as in 2.x."""

    def __dir__(self) -> list[str]:
        """Without those names, which nobody has found there since 3.0."""
        classes = [cls for cls in type(self).__mro__ if cls is not ForwardsToSocket]
        hidden = _SOCKET_NAMES.difference(vars(self), *map(vars, classes))
        return [name for name in super().__dir__() if name not in hidden]


for _name_of_socket in _SOCKET_NAMES:
    setattr(ForwardsToSocket, _name_of_socket, _OfSocket(_name_of_socket))
