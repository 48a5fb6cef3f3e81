"""What old code expects: the calls and the names of the module's earlier eras.

What a handler or a class can take is found out once and remembered, so that new code
pays one look-up; the author hears of it in one DeprecationWarning.
"""

from __future__ import annotations

from functools import partial
from types import MethodType

import smtpd_compat

from .._settings import DATA_SIZE_DEFAULT
from ._arguments import Arguments, find_refuser, is_opaque
from ._kinds import KINDS, is_current, remember_current
from ._refusals import blames, refuses_options
from ._text_hooks import keep_lines_as_text
from ._warnings import warn_at, warn_of

TYPE_CHECKING = bool()
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from .._channel import SMTPChannel


# process_message up to 3.4: four arguments, and the message is text

_ENVELOPE = ["peer", "mailfrom", "rcpttos"]
_HANDLER_CALLS = Arguments(
    [*_ENVELOPE, "data"],
    ["mail_options", "rcpt_options"],
    always=4,
    advise=partial(
        warn_of,
        message="%s does not take mail_options and rcpt_options, so it is called as up"
        " to Python 3.4, with the message as str; write process_message(self, peer,"
        " mailfrom, rcpttos, data, **kwargs), which gets bytes",
    ),
)

#: By what a handler failed on: how to tell its author.
_WRONG_KIND: dict[type, str] = {
    bytes: "%s takes the message for str, as up to Python 3.5, and gets it so; it is"
    " bytes since 3.6, so decode it, or give the server decode_data=True",
    str: "%s takes the message for bytes without mail_options and rcpt_options, and"
    " gets it so; take **kwargs too",
}


def takes_text(handler: Any) -> bool:
    """Whether *handler*, a ``process_message``, gets the message as `str`."""
    if type(handler) is MethodType and is_current(handler):
        return False
    return (KINDS.get(handler) or _kind_by_arguments(handler)) is str


def _kind_by_arguments(handler: Any) -> type:
    return str if "mail_options" in _HANDLER_CALLS.plan(handler).left_out else bytes


def call_process_message(
    handler: Callable[..., Any],
    envelope: tuple[Any, ...],
    data: bytes,
    options: dict[str, Any],
) -> Any:
    """Call *handler*, a ``process_message``, with what it takes.

    One that does not take ``mail_options`` was written before 3.5, when the message
    was ``str``; the octets that are not UTF-8 are lone surrogates in it.  One that
    fails on its first message, and says that it wants the other kind, is called again
    with that, and gets it from then on.

    :param envelope: peer, reverse-path and recipients.
    """
    if type(handler) is MethodType and is_current(handler):
        return handler(*envelope, data, **options)
    kind = KINDS.get(handler)
    if kind is None:
        return _hand_over_first(handler, envelope, data, options)
    return _hand_over(handler, envelope, data, options, kind)


def _hand_over_first(
    handler: Callable[..., Any],
    envelope: tuple[Any, ...],
    data: bytes,
    options: dict[str, Any],
) -> Any:
    """Find out what *handler* takes for the message."""
    lists = [value for value in (*envelope, *options.values()) if type(value) is list]
    copies = [value[:] for value in lists]
    try:
        result = _hand_over(handler, envelope, data, options, None)
    except (TypeError, AttributeError) as error:
        kind = _kind_by_arguments(handler)
        if not _is_refused(error, handler, data, kind):
            raise
        refusal = error
    else:
        KINDS.remember(handler, _kind_by_arguments(handler))
        plan = _HANDLER_CALLS.plan(handler)
        if plan is _HANDLER_CALLS.current and not is_opaque(handler):
            remember_current(handler)
        return result
    for value, copy in zip(lists, copies):
        value[:] = copy
    other = bytes if kind is str else str
    KINDS.remember(handler, other)
    try:
        result = _hand_over(handler, envelope, data, options, other)
    except (TypeError, AttributeError) as error:
        if _is_refused(error, handler, data, other):  # a mistake of another kind
            KINDS.remember(handler, kind)
            raise refusal from None
        raise
    warn_of(handler, _WRONG_KIND[kind])
    return result


def _hand_over(
    handler: Callable[..., Any],
    envelope: tuple[Any, ...],
    data: bytes,
    options: dict[str, Any],
    kind: type | None,
) -> Any:
    """Call *handler*.

    :param kind: of the message, `bytes` or `str`; None for what its arguments tell.
    """
    plan = _HANDLER_CALLS.plan(handler)
    if plan is _HANDLER_CALLS.current:
        try:
            return handler(*envelope, _as(kind or bytes, data), **options)
        except TypeError as error:
            # A readable signature had accepted the call, so the TypeError came from
            # inside.
            refuser = None
            if refuses_options(error) and is_opaque(handler):
                refuser = find_refuser(error, handler, ("process_message",))
            if refuser is None:
                raise
        plan = _HANDLER_CALLS.use_oldest(handler, refuser)
    values = dict(zip(_ENVELOPE, envelope), **options)
    is_old = "mail_options" in plan.left_out
    values["data"] = _as(kind or (str if is_old else bytes), data)
    args, kwargs = plan.choose(values)
    return handler(*args, **kwargs)


def reply_of(handler: Callable[..., Any], returned: Any) -> str | bytes:
    """The reply in what *handler*, a ``process_message``, has returned as not a str.

    Up to 2.7 byte strings were text.

    :raises TypeError: if there is none.
    """
    if isinstance(returned, (bytes, bytearray)):
        warn_of(handler, "%s returns its reply as bytes; return it as str")
        return returned.decode() if returned.isascii() else bytes(returned)
    name = getattr(handler, "__qualname__", repr(handler))
    said = f"{name} returned {returned!r}; it has to return None, for '250 OK', or a"
    if type(returned).__name__ == "coroutine":
        returned.close()
        said = f"{name} is an async function, and nothing awaits it; return None or a"
    raise TypeError(f"{said} reply as str, such as '550 No such user'")


def _as(kind: type, data: bytes) -> bytes | str:
    return data if kind is bytes else data.decode("utf-8", "surrogateescape")


def _is_refused(error: BaseException, handler: Any, data: bytes, kind: type) -> bool:
    """Whether *error* says that *handler* wants another *kind* of message."""
    owner = getattr(handler, "__self__", None)
    own = [cls.__module__ for cls in type(owner).__mro__]
    return blames(error, _as(kind, data), own, called_by=__name__)


# Channel and server classes of earlier eras: fewer arguments

_SETTINGS = ["data_size_limit", "map", "enable_SMTPUTF8", "decode_data"]
_CHANNEL_CALLS = Arguments(
    ["server", "conn", "addr", *_SETTINGS],
    [],
    always=3,
    advise=partial(
        warn_of,
        message="%s does not take all the arguments that a channel has had since Python"
        " 3.5; write __init__(self, server, conn, addr, *args, **kwargs), and hand them"
        " on",
    ),
)
_SERVER_CALLS = Arguments(
    ["localaddr", "remoteaddr", "data_size_limit"],
    ["enable_SMTPUTF8"],
    always=2,
    advise=partial(
        warn_of,
        message="%s does not take all the arguments that the command line has given"
        " since Python 3.5; write __init__(self, localaddr, remoteaddr, *args,"
        " **kwargs), and hand them on",
    ),
)


def _construct(
    arguments: Arguments, cls: Callable[..., Any], values: dict[str, Any]
) -> tuple[Any, frozenset[str]]:
    """Make a *cls*; also return the names of what it does not take."""
    plan = arguments.plan(cls)
    args, kwargs = plan.choose(values)
    try:
        return cls(*args, **kwargs), plan.left_out
    except TypeError as error:
        refuser = None
        if plan is arguments.current or (
            plan is not arguments.oldest and is_opaque(cls)
        ):
            refuser = find_refuser(error, cls, ("__init__", "__new__"))
        if refuser is None:
            raise
    plan = arguments.use_oldest(cls, refuser)
    args, kwargs = plan.choose(values)
    return cls(*args, **kwargs), plan.left_out


def open_channel(server: Any, conn: Any, addr: Any) -> Any:
    """Make a channel of ``server.channel_class`` (up to 3.2 with three arguments)."""
    values = {
        "server": server,
        "conn": conn,
        "addr": addr,
        "data_size_limit": server.data_size_limit,
        "map": server._map,
        "enable_SMTPUTF8": server.enable_SMTPUTF8,
        "decode_data": server._decode_data,
    }
    channel, left_out = _construct(_CHANNEL_CALLS, server.channel_class, values)
    if left_out:
        adopt_settings(channel, {name: values[name] for name in left_out})
    return channel


def adopt_settings(channel: SMTPChannel, settings: dict[str, Any]) -> None:
    """Give a channel what its class's ``__init__`` did not take from the server."""
    if not isinstance(channel, smtpd_compat.SMTPChannel):
        return
    map = settings.get("map", channel._map)
    if map is not channel._map and channel.connected:
        descriptor = channel._fileno
        channel.del_channel()
        channel._fileno, channel._map = descriptor, map
        channel.add_channel()
    if channel.data_size_limit == DATA_SIZE_DEFAULT:
        limit = settings.get("data_size_limit", channel.data_size_limit)
        channel.data_size_limit = limit
    if settings.get("enable_SMTPUTF8"):
        channel.enable_SMTPUTF8 = True
    if settings.get("decode_data"):
        keep_lines_as_text(channel)
        channel._decode_data = True


def construct(
    cls: Callable[..., Any],
    arguments: Iterable[tuple[str, Any]],
    keywords: dict[str, Any],
) -> tuple[Any, frozenset[str]]:
    """Make a server of *cls*; also return the names of what it does not accept."""
    return _construct(_SERVER_CALLS, cls, dict(arguments, **keywords))


# Habits that the channel meets


def every_interface(cls: type) -> None:
    """The host ``''``, which 2.7 took and 3.5 did not."""
    warn_at(
        cls, "%s is asked to listen on '', as up to Python 3.4; write '0.0.0.0' or '::'"
    )


def sent_text(channel: SMTPChannel) -> None:
    """Octets given as text, as in 2.7."""
    warn_at(type(channel), "%s sends text; send bytes, or push a reply as str")


def pushed_bytes(channel: SMTPChannel) -> None:
    """A reply given as a byte string, as in 2.7."""
    warn_at(type(channel), "%s pushes a reply as bytes; push it as str")
