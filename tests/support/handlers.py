"""Handlers as people wrote them for every era, and a way to call them."""

from __future__ import annotations

import functools
import types
from unittest import mock

from smtpd_compat._eras import _calls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

ENVELOPE = (("127.0.0.1", 5), "a@example.com", ["b@example.com"])
DATA = b"caf\xc3\xa9 \xff"
TEXT = "caf\xe9 \udcff"
OPTIONS = {"mail_options": ["BODY=8BITMIME"], "rcpt_options": []}

OLD = ((*ENVELOPE, TEXT), {})
NEW = ((*ENVELOPE, DATA), OPTIONS)


def give(handler: Any) -> Any:
    """Hand a message over to *handler*."""
    return _calls.call_process_message(handler, ENVELOPE, DATA, dict(OPTIONS))


def seen(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a handler returns here: what it was given."""
    return args, kwargs


def opaque(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator of somebody who has never heard of functools.wraps."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def polite(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator of somebody who has."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


class Decorated:
    """A decorator that is a class."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def __get__(self, instance: Any, owner: type) -> Any:
        return functools.partial(self, instance) if instance is not None else self


class Handlers:
    """Methods as people wrote them; each returns what it was given."""

    def four(self, Peer: Any, From: Any, To: Any, Data: Any) -> Any:
        return seen(Peer, From, To, Data)

    def fifth(self, peer: Any, sender: Any, to: Any, data: Any, decode: Any = 1) -> Any:
        return (seen(peer, sender, to, data)) if decode == 1 else decode

    def starred(self, *args: Any) -> Any:
        return seen(*args)

    def peer_and_rest(self, peer: Any, *rest: Any) -> Any:
        return seen(peer, *rest)

    @staticmethod
    def static(peer: Any, sender: Any, to: Any, data: Any) -> Any:
        return seen(peer, sender, to, data)

    @classmethod
    def of_class(cls, peer: Any, sender: Any, to: Any, data: Any) -> Any:
        return seen(peer, sender, to, data)

    def any_keywords(self, peer: Any, a: Any, b: Any, data: Any, **kwargs: Any) -> Any:
        return seen(peer, a, b, data, **kwargs)

    def anything(self, *args: Any, **kwargs: Any) -> Any:
        return seen(*args, **kwargs)

    def named(
        self,
        peer: Any,
        mailfrom: Any,
        rcpttos: Any,
        data: Any,
        mail_options: Any = None,
        rcpt_options: Any = None,
    ) -> Any:
        return seen(
            peer,
            mailfrom,
            rcpttos,
            data,
            mail_options=mail_options,
            rcpt_options=rcpt_options,
        )

    def needed(
        self, p: Any, m: Any, r: Any, d: Any, *, mail_options: Any, rcpt_options: Any
    ) -> Any:
        return seen(p, m, r, d, mail_options=mail_options, rcpt_options=rcpt_options)

    @opaque
    def process_message(self, peer: Any, sender: Any, to: Any, data: Any) -> Any:
        return seen(peer, sender, to, data)

    polite_four = polite(four)
    polite_new = polite(any_keywords)
    twice = opaque(polite(opaque(four)))
    of_decorator_class = Decorated(process_message)
    partial_method = functools.partialmethod(fifth, decode=1)


class Callable4:
    def __call__(self, peer: Any, sender: Any, to: Any, data: Any) -> Any:
        return seen(peer, sender, to, data)


class Unhashable(Callable4):
    __hash__ = None  # type: ignore[assignment]


class Slotted(Callable4):
    __slots__ = ()


class Bound4:
    """What a method calls need be no function, nor take weak references."""

    __slots__ = ()

    def __call__(self, me: Any, peer: Any, sender: Any, to: Any, data: Any) -> Any:
        return seen(peer, sender, to, data)


class BoundNew:
    __slots__ = ()

    def __call__(self, me: Any, p: Any, m: Any, r: Any, data: Any, **k: Any) -> Any:
        return seen(p, m, r, data, **k)


class Constructor:
    """A class is called like a function."""

    def __new__(cls, peer: Any, sender: Any, to: Any, data: Any) -> Any:
        return seen(peer, sender, to, data)


def prefixed(prefix: Any, peer: Any, sender: Any, to: Any, data: Any) -> Any:
    return seen(peer, sender, to, data)


def positional_only(p: Any, m: Any, r: Any, data: Any, /) -> Any:
    return seen(p, m, r, data)


handlers = Handlers()

OLD_HANDLERS = {
    "four arguments": handlers.four,
    "a fifth of its own": handlers.fifth,
    "*args": handlers.starred,
    "one and *args": handlers.peer_and_rest,
    "static method": handlers.static,
    "class method": handlers.of_class,
    "positional-only": positional_only,
    "lambda": lambda p, m, r, d: seen(p, m, r, d),
    "partial": functools.partial(prefixed, "prefix"),
    "partial of a bound method": functools.partial(handlers.fifth, decode=1),
    "partial method": handlers.partial_method,
    "instance": Callable4(),
    "instance without a hash": Unhashable(),
    "instance without weak references": Slotted(),
    "method of an instance": types.MethodType(Bound4(), handlers),
    "class": Constructor,
    "decorated without functools.wraps": handlers.process_message,
    "decorated with functools.wraps": handlers.polite_four,
    "decorated three times": handlers.twice,
    "decorated by a class": handlers.of_decorator_class,
    "decorated function": opaque(Handlers.static),
    "specified mock": mock.create_autospec(Handlers.static, side_effect=seen),
}

NEW_HANDLERS = {
    "**kwargs": handlers.any_keywords,
    "*args and **kwargs": handlers.anything,
    "both by name": handlers.named,
    "both keyword-only": handlers.needed,
    "decorated, with functools.wraps": handlers.polite_new,
    "decorated, without": opaque(handlers.any_keywords),
    "partial": functools.partial(handlers.anything),
    "method of an instance": types.MethodType(BoundNew(), handlers),
    "mock": mock.Mock(side_effect=seen),
    "magic mock": mock.MagicMock(side_effect=seen),
}
