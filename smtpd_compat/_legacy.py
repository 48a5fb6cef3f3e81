"""What old code expects: the calls and the names of the module's earlier eras.

What a function or a class takes is found out once and remembered, so that new code
pays one look-up; the author hears of it in one DeprecationWarning.
"""

from __future__ import annotations

import sys
import warnings
import weakref
from functools import partial

import smtpd_compat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, MutableMapping
    from inspect import Parameter
    from typing import Any


# process_message up to 3.4: four arguments, and the message is text

_OPTIONS = ("mail_options", "rcpt_options")

#: The options that a handler takes, by its function.
_options_of: MutableMapping[Any, tuple[str, ...]] = weakref.WeakKeyDictionary()


def handler_call(
    handler: Callable[..., Any],
    envelope: tuple[Any, ...],
    data: bytes,
    options: dict[str, Any],
) -> Callable[[], Any]:
    """The call of *handler*, a ``process_message``, with what it takes.

    One that takes no options was written before 3.5, when the message was ``str``.
    """
    taken = _options_taken(handler)
    if taken is _OPTIONS:
        return partial(handler, *envelope, data, **options)
    if taken:
        chosen = {name: options[name] for name in taken}
        return partial(handler, *envelope, data, **chosen)
    return partial(handler, *envelope, data.decode("utf-8", "surrogateescape"))


def _options_taken(handler: Callable[..., Any]) -> tuple[str, ...]:
    function = getattr(handler, "__func__", handler)
    try:
        return _options_of[function]
    except (KeyError, TypeError):
        taken = _inspect_options(function)
    try:
        _options_of[function] = taken
    except TypeError:  # neither hashable nor weakly referable: inspected every time
        pass
    if not taken:
        _warn_of(
            function,
            "%s takes no keyword arguments, so it is called as up to Python 3.4, with"
            " the message as str; write process_message(self, peer, mailfrom,"
            " rcpttos, data, **kwargs), which gets it as bytes",
        )
    return taken


def _inspect_options(function: Any) -> tuple[str, ...]:
    """The options that *function*, and whatever it wraps, can be given by name."""
    taken = set(_OPTIONS)
    layer = function
    while layer is not None:
        parameters = _parameters(layer)
        if not any(parameter.kind.name == "VAR_KEYWORD" for parameter in parameters):
            taken.intersection_update(_by_name(parameters))
        layer = getattr(layer, "__wrapped__", None)
        layer = layer if callable(layer) else None
    if len(taken) == len(_OPTIONS):
        return _OPTIONS
    return tuple(taken)


# Channel and server classes of earlier eras: fewer arguments


class _Accepts:
    """What a class can be called with."""

    def __init__(self, cls: Callable[..., Any]) -> None:
        parameters = _parameters(cls)
        kinds = [parameter.kind.name for parameter in parameters]
        self.positional: float = kinds.count("POSITIONAL_ONLY")
        self.positional += kinds.count("POSITIONAL_OR_KEYWORD")
        if "VAR_POSITIONAL" in kinds:
            self.positional = float("inf")
        self.any_keyword = "VAR_KEYWORD" in kinds
        self.keywords = _by_name(parameters)


_accepts_of: MutableMapping[Any, _Accepts] = weakref.WeakKeyDictionary()


def construct(
    cls: Callable[..., Any],
    arguments: Iterable[tuple[str, Any]],
    keywords: dict[str, Any] | None = None,
) -> tuple[Any, set[str]]:
    """Make a *cls* with as much of *arguments* and *keywords* as it accepts.

    :param arguments: names and values; by position where *cls* takes that many, else
        by name.
    :param keywords: by name in any case.
    :returns: the instance, and the names that *cls* does not accept.
    """
    try:
        accepts = _accepts_of[cls]
    except (KeyError, TypeError):
        accepts = _Accepts(cls)
        try:
            _accepts_of[cls] = accepts
        except TypeError:  # as above
            pass
    positional: list[Any] = []
    by_name = dict(keywords or ())
    for name, value in arguments:
        if len(positional) < accepts.positional:
            positional.append(value)
        else:
            by_name[name] = value
    left_out: set[str] = set()
    if not accepts.any_keyword:
        left_out.update(by_name.keys() - accepts.keywords)
    taken = {name: by_name[name] for name in by_name if name not in left_out}
    return cls(*positional, **taken), left_out


def open_channel(server: Any, conn: Any, addr: Any) -> Any:
    """Make a channel of ``server.channel_class`` (up to 3.2 with three arguments)."""
    cls = server.channel_class
    settings = (
        ("data_size_limit", server.data_size_limit),
        ("map", server._map),
        ("enable_SMTPUTF8", server.enable_SMTPUTF8),
        ("decode_data", server._decode_data),
    )
    channel, left_out = construct(
        cls, (("server", server), ("conn", conn), ("addr", addr), *settings)
    )
    if left_out:
        _warn_once(
            cls,
            "%s takes fewer arguments than a channel has had since Python 3.5; write"
            " __init__(self, server, conn, addr, *args, **kwargs) and hand them on",
            2,
        )
        adopt = getattr(channel, "_adopt_settings", None)
        if adopt is not None:
            adopt({name: value for name, value in settings if name in left_out})
    return channel


def _parameters(function: Callable[..., Any]) -> list[Parameter]:
    import inspect

    try:
        signature = inspect.signature(function, follow_wrapped=False)
    except (TypeError, ValueError):  # nobody can tell: taken for the newest
        signature = inspect.signature(_takes_anything)
    return list(signature.parameters.values())


def _takes_anything(*args: Any, **kwargs: Any) -> None:
    """For `_parameters`."""


def _by_name(parameters: list[Parameter]) -> frozenset[str]:
    return frozenset(
        parameter.name
        for parameter in parameters
        if parameter.kind.name in ("POSITIONAL_OR_KEYWORD", "KEYWORD_ONLY")
    )


def every_interface(cls: type) -> None:
    """The host ``''``, which 2.7 took and 3.5 did not."""
    _warn_once(
        cls,
        "%s is asked to listen on '', as up to Python 2.7; write '0.0.0.0' or '::'",
        3,
    )


def greeted_silently(channel: Any, verb: str) -> None:
    """An overridden HELO or EHLO that up to 3.2 did not have to note the greeting."""
    _warn_of(
        getattr(channel, "smtp_" + verb).__func__,
        "%s accepts a greeting and does not note it; set self.seen_greeting, and for"
        " EHLO self.extended_smtp",
    )


def pushed_bytes(channel: Any) -> None:
    """A reply given as a byte string, as in 2.7."""
    _warn_once(type(channel), "%s pushes a reply as bytes; push it as str", 3)


# found_terminator up to 3.5: lines are text

_WANTS_TEXT = "expected str instance, bytes found"


def wants_text(channel: Any, error: TypeError) -> bool:
    """Whether *error* comes from joining ``received_lines`` as ``str``."""
    function = getattr(channel.found_terminator, "__func__", None)
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if (
        not str(error).endswith(_WANTS_TEXT)
        or not channel.received_lines
        or trace is None
        or trace.tb_frame.f_code is not getattr(function, "__code__", None)
    ):
        return False
    _warn_of(
        function,
        "%s joins received_lines as str, which they were up to Python 3.5; they are"
        " bytes, join them with b''",
    )
    return True


# Names that were attributes up to 3.1


def _renamed(old: str, new: str) -> property:
    def getter(self: Any) -> Any:
        warnings.warn(
            f"Access to {old} attribute on SMTPChannel is deprecated,"
            f" use {new!r} instead",
            DeprecationWarning,
            2,
        )
        return getattr(self, new)

    def setter(self: Any, value: Any) -> None:
        warnings.warn(
            f"Setting {old} attribute on SMTPChannel is deprecated, set {new!r} instead",
            DeprecationWarning,
            2,
        )
        setattr(self, new, value)

    return property(getter, setter)


class OldChannelNames:
    """The eleven private attributes of the channel up to 3.1, and its parser."""

    _SMTPChannel__server = _renamed("__server", "smtp_server")
    _SMTPChannel__line = _renamed("__line", "received_lines")
    _SMTPChannel__state = _renamed("__state", "smtp_state")
    _SMTPChannel__greeting = _renamed("__greeting", "seen_greeting")
    _SMTPChannel__mailfrom = _renamed("__mailfrom", "mailfrom")
    _SMTPChannel__rcpttos = _renamed("__rcpttos", "rcpttos")
    _SMTPChannel__data = _renamed("__data", "received_data")
    _SMTPChannel__fqdn = _renamed("__fqdn", "fqdn")
    _SMTPChannel__peer = _renamed("__peer", "peer")
    _SMTPChannel__conn = _renamed("__conn", "conn")
    _SMTPChannel__addr = _renamed("__addr", "addr")

    def _SMTPChannel__getaddr(self, keyword: str, arg: str) -> str | None:
        """The mailbox after *keyword*, None if there is none (up to 3.2)."""
        warnings.warn(
            "SMTPChannel.__getaddr() is deprecated, override smtp_MAIL and smtp_RCPT"
            " by calling theirs and looking at 'mailfrom' and 'rcpttos'",
            DeprecationWarning,
            2,
        )
        channel: Any = self
        return channel._getaddr(channel._strip_command_keyword(keyword, arg))[0] or None


class ForwardsToSocket:
    """The socket's methods are the dispatcher's too, as in 2.x."""

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_"):
            wrapped = self.__dict__.get("socket")
            if hasattr(wrapped, name):
                warnings.warn(
                    f"{type(self).__name__}.{name} is deprecated,"
                    f" use {type(self).__name__}.socket.{name} instead",
                    DeprecationWarning,
                    2,
                )
                return getattr(wrapped, name)
        raise AttributeError(
            f"{type(self).__name__!r} object has no attribute {name!r}"
        )


# Warnings

_warned: set[str] = set()


def _warn_once(thing: Any, message: str, stacklevel: int) -> None:
    """Warn for *thing*, whose name stands for ``%s``; further up by *stacklevel*."""
    text = message % _name(thing)
    if text not in _warned:
        _warned.add(text)
        try:
            warnings.warn(text, DeprecationWarning, stacklevel + 1)
        except DeprecationWarning:
            _lose_no_mail()


def _warn_of(function: Any, message: str) -> None:
    """Warn once, as at the line where *function* is defined."""
    code = getattr(function, "__code__", None)
    if code is None:
        _warn_once(function, message, 3)
        return
    text = message % _name(function)
    if text not in _warned:
        _warned.add(text)
        try:
            warnings.warn_explicit(
                text,
                DeprecationWarning,
                code.co_filename,
                code.co_firstlineno,
                function.__module__,
            )
        except DeprecationWarning:
            _lose_no_mail()


def _lose_no_mail() -> None:
    """Where a filter makes warnings errors, show this one and go on.

    It comes in the middle of a conversation, where an error would refuse mail.
    """
    import traceback

    traceback.print_exc(limit=0)


def _name(thing: Any) -> str:
    qualified = getattr(thing, "__qualname__", None) or type(thing).__qualname__
    return f"{getattr(thing, '__module__', None) or '?'}.{qualified}"


def install_as_smtpd() -> None:
    """Let ``import smtpd`` find this package, for code that cannot be edited.

    May be called again.

    :raises ImportError: if another module has been imported as ``smtpd`` already.
    """
    present = sys.modules.setdefault("smtpd", smtpd_compat)
    if present is not smtpd_compat:
        raise ImportError(
            f"cannot install smtpd_compat as smtpd: {present!r} is imported already;"
            " call install_as_smtpd() before anything imports smtpd"
        )
