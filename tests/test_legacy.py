"""What handlers and classes of all eras are given, and what their authors hear."""

from __future__ import annotations

import functools
import inspect
import re
import socket
import subprocess
import sys
import types
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest

import smtpd_compat
from smtpd_compat import _deprecations, _legacy

from .support.serving import serving
from .support.talking import connected

ENVELOPE = (("127.0.0.1", 5), "a@example.com", ["b@example.com"])
DATA = b"caf\xc3\xa9 \xff"
TEXT = "caf\xe9 \udcff"
OPTIONS = {"mail_options": ["BODY=8BITMIME"], "rcpt_options": []}

OLD = ((*ENVELOPE, TEXT), {})
NEW = ((*ENVELOPE, DATA), OPTIONS)


@pytest.fixture(autouse=True)
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[warnings.WarningMessage]]:
    """The warnings, as if nothing had been seen before."""
    monkeypatch.setattr(_deprecations, "_warned", set())
    for arguments in (_legacy._HANDLERS, _legacy._CHANNELS, _legacy._SERVERS):
        monkeypatch.setattr(arguments, "_plans", weakref.WeakKeyDictionary())
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        yield record


def give(handler: Any) -> Any:
    return _legacy.handle(handler, ENVELOPE, DATA, dict(OPTIONS))


def seen(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return args, kwargs


def opaque(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator of somebody who has never heard of functools.wraps."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def polite(function: Callable[..., Any]) -> Callable[..., Any]:
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
    "mock": mock.Mock(side_effect=seen),
    "magic mock": mock.MagicMock(side_effect=seen),
}


@pytest.mark.parametrize("name", OLD_HANDLERS)
def test_handler_without_options_gets_four_arguments_and_text(
    name: str, heard: list[warnings.WarningMessage]
) -> None:
    handler = OLD_HANDLERS[name]
    assert give(handler) == OLD
    assert give(handler) == OLD
    assert [w.category for w in heard] == [DeprecationWarning]


@pytest.mark.parametrize("name", NEW_HANDLERS)
def test_handler_with_options_gets_bytes_and_no_warning(
    name: str, heard: list[warnings.WarningMessage]
) -> None:
    assert give(NEW_HANDLERS[name]) == NEW
    assert heard == []


def test_handler_whose_signature_nobody_can_tell_is_taken_for_new() -> None:
    class Unknown:
        __signature__ = "no signature"

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return seen(*args, **kwargs)

    with pytest.raises((TypeError, ValueError)):
        inspect.signature(Unknown())
    assert give(Unknown()) == NEW


def test_builtin_that_takes_no_keywords_gets_four_arguments_and_text() -> None:
    given: set[Any] = give(set().union)  # without a signature up to 3.12
    assert given == {*ENVELOPE[0], *ENVELOPE[1], *ENVELOPE[2], *TEXT}


def test_handler_that_names_only_mail_options_gets_them_and_bytes() -> None:
    def handler(p: Any, m: Any, r: Any, data: Any, mail_options: Any = None) -> Any:
        return data, mail_options

    assert give(handler) == (DATA, OPTIONS["mail_options"])


def test_positional_only_options_are_given_by_position() -> None:
    def handler(
        p: Any, m: Any, r: Any, d: Any, mail_options: Any, rcpt_options: Any, /
    ) -> Any:
        return d, mail_options, rcpt_options

    assert give(handler) == (DATA, *OPTIONS.values())


def test_handler_assigned_on_an_instance_is_called_with_what_it_takes() -> None:
    class Recorder:
        def keep(self, peer: Any, sender: Any, to: Any, data: Any) -> Any:
            return seen(peer, sender, to, data)

    server = types.SimpleNamespace(process_message=Recorder().keep)
    assert give(server.process_message) == OLD
    server.process_message = Handlers().anything
    assert give(server.process_message) == NEW


def test_adapter_with_functools_wraps_gets_bytes_as_in_the_original() -> None:
    def adapted(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            *envelope, data = args
            return function(*envelope, data.decode("latin-1"))

        return wrapper

    given, _ = give(adapted(Handlers.static))
    assert given == (*ENVELOPE, DATA.decode("latin-1"))


def test_handler_that_hands_on_to_an_old_base_class_delivers_once() -> None:
    class Base:
        def __init__(self) -> None:
            self.messages: list[Any] = []

        def process_message(self, peer: Any, sender: Any, to: Any, data: Any) -> None:
            self.messages.append(data)

    class Derived(Base):
        def process_message(self, *args: Any, **kwargs: Any) -> None:
            super().process_message(*args, **kwargs)

    server = Derived()
    give(server.process_message)
    give(server.process_message)
    assert server.messages == [TEXT, TEXT]


def test_type_error_of_a_new_handler_is_its_own_and_not_tried_again() -> None:
    calls = []

    def audit(message: bytes) -> None:
        raise AssertionError("must not get so far")

    def handler(peer: Any, sender: Any, to: Any, data: Any, **kwargs: Any) -> None:
        calls.append(data)
        audit(data, **kwargs)

    for _ in range(2):
        with pytest.raises(TypeError, match="mail_options"):
            give(handler)
    assert calls == [DATA, DATA]


@pytest.mark.parametrize("name", ["four", "anything", "process_message"])
def test_handler_is_inspected_for_its_first_message_only(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inspected = []
    signature = inspect.signature

    def counting(target: Any, **options: Any) -> Any:
        inspected.append(target)
        return signature(target, **options)

    monkeypatch.setattr(inspect, "signature", counting)
    for _ in range(3):
        assert give(getattr(handlers, name)) in (OLD, NEW)
    assert len(inspected) == 1


def test_handlers_are_not_kept_alive() -> None:
    def handler(peer: Any, sender: Any, to: Any, data: Any) -> Any:
        return seen(peer, sender, to, data)

    assert give(handler) == OLD
    gone = weakref.ref(handler)
    del handler
    assert gone() is None


# Channel classes

SETTINGS = {
    "data_size_limit": 1000,
    "map": {},
    "enable_SMTPUTF8": False,
    "decode_data": True,
}
ALL = ("server", "conn", "addr", *SETTINGS.values())


class ServerWithSettings:
    data_size_limit = SETTINGS["data_size_limit"]
    _map = SETTINGS["map"]
    enable_SMTPUTF8 = SETTINGS["enable_SMTPUTF8"]
    _decode_data = SETTINGS["decode_data"]

    def __init__(self, channel_class: Any) -> None:
        self.channel_class = channel_class


class Channel:
    """Remembers what it was made with, and what it adopted."""

    adopted: Any = None

    def given(self, *args: Any, **kwargs: Any) -> None:
        self.args = args[1:]
        self.kwargs = kwargs

    def _smtpd_adopt_settings(self, settings: Any) -> None:
        self.adopted = settings


def open_channel(cls: Any) -> Any:
    return _legacy.open_channel(ServerWithSettings(cls), "conn", "addr")


class Three(Channel):
    def __init__(self, server: Any, conn: Any, addr: Any) -> None:
        self.given(server, conn, addr)


class OtherNames(Channel):
    def __init__(self, owner: Any, sock: Any, address: Any) -> None:
        self.given(owner, sock, address)


class Four(Channel):
    def __init__(self, server: Any, conn: Any, addr: Any, limit: Any) -> None:
        self.given(server, conn, addr, limit)


class OwnFourth(Channel):
    def __init__(self, server: Any, conn: Any, addr: Any, verbose: Any = "no") -> None:
        self.given(server, conn, addr, verbose)


class MapOnly(Channel):
    def __init__(self, server: Any, conn: Any, addr: Any, map: Any = None) -> None:
        self.given(server, conn, addr, map=map)


class Five(Channel):
    def __init__(
        self, server: Any, conn: Any, addr: Any, data_size_limit: Any, map: Any
    ) -> None:
        self.given(server, conn, addr, data_size_limit, map)


class KeywordOnly(Channel):
    def __init__(self, server: Any, conn: Any, addr: Any, *, map: Any) -> None:
        self.given(server, conn, addr, map=map)


class PositionalOnly(Channel):
    def __init__(self, server: Any, conn: Any, addr: Any, /) -> None:
        self.given(server, conn, addr)


class Keywords(Channel):
    def __init__(self, server: Any, conn: Any, addr: Any, **kwargs: Any) -> None:
        self.given(server, conn, addr, **kwargs)


class Starred(Channel):
    def __init__(self, server: Any, *args: Any) -> None:
        self.given(server, *args)


class Seven(Channel):
    def __init__(
        self, s: Any, c: Any, a: Any, size: Any, m: Any, utf8: Any, text: Any = None
    ) -> None:
        self.given(s, c, a, size, m, utf8, text)


class HandsOn(Three):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


class DecoratedInit(Channel):
    @opaque
    def __init__(self, server: Any, conn: Any, addr: Any) -> None:
        self.given(server, conn, addr)


class PoliteInit(Channel):
    @polite
    def __init__(self, server: Any, conn: Any, addr: Any) -> None:
        self.given(server, conn, addr)


class OwnNew(Three):
    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return super().__new__(cls)


LESS = {
    Three: ((), {}, [*SETTINGS]),
    OtherNames: ((), {}, [*SETTINGS]),
    Four: ((1000,), {}, ["map", "enable_SMTPUTF8", "decode_data"]),
    OwnFourth: (("no",), {}, [*SETTINGS]),
    MapOnly: (
        (),
        {"map": SETTINGS["map"]},
        ["data_size_limit", "enable_SMTPUTF8", "decode_data"],
    ),
    Five: ((1000, SETTINGS["map"]), {}, ["enable_SMTPUTF8", "decode_data"]),
    KeywordOnly: (
        (),
        {"map": SETTINGS["map"]},
        ["data_size_limit", "enable_SMTPUTF8", "decode_data"],
    ),
    PositionalOnly: ((), {}, [*SETTINGS]),
    HandsOn: ((), {}, [*SETTINGS]),
    DecoratedInit: ((), {}, [*SETTINGS]),
    PoliteInit: ((), {}, [*SETTINGS]),
    OwnNew: ((), {}, [*SETTINGS]),
}


@pytest.mark.parametrize("cls", LESS)
def test_channel_class_of_an_earlier_era_gets_what_it_takes_and_adopts_the_rest(
    cls: Any, heard: list[warnings.WarningMessage]
) -> None:
    args, kwargs, adopted = LESS[cls]
    for _ in range(2):
        channel = open_channel(cls)
        assert channel.args == ("conn", "addr", *args)
        assert channel.kwargs == kwargs
        assert channel.adopted == {name: SETTINGS[name] for name in adopted}
    (warning,) = heard
    assert f"test_legacy.{cls.__name__} " in str(warning.message)
    assert warning.filename == __file__


def test_channel_class_with_any_keywords_gets_the_settings_by_name() -> None:
    channel = open_channel(Keywords)
    assert (channel.args, channel.kwargs) == (("conn", "addr"), SETTINGS)


@pytest.mark.parametrize("cls", [Starred, Seven])
def test_channel_class_of_today_gets_all_by_position_and_no_warning(
    cls: Any, heard: list[warnings.WarningMessage]
) -> None:
    channel = open_channel(cls)
    assert channel.args == ALL[1:]
    assert channel.adopted is None
    assert heard == []


@pytest.mark.parametrize(
    "factory",
    [
        functools.partial(Three),
        lambda server, conn, addr: Three(server, conn, addr),
        opaque(Three),
    ],
)
def test_factory_in_the_place_of_a_channel_class_gets_what_it_takes(
    factory: Any,
) -> None:
    channel = open_channel(factory)
    assert channel.args == ("conn", "addr")
    assert channel.adopted == SETTINGS


def test_mock_in_the_place_of_a_channel_class_is_called_as_by_the_original() -> None:
    factory = mock.Mock()
    server = ServerWithSettings(factory)
    _legacy.open_channel(server, "conn", "addr")
    factory.assert_called_once_with(server, *ALL[1:])


def test_constructor_patched_between_two_connections_is_looked_at_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Patched(Starred):
        pass

    assert open_channel(Patched).args == ALL[1:]
    monkeypatch.setattr(Patched, "__init__", Three.__init__)
    assert open_channel(Patched).args == ("conn", "addr")
    monkeypatch.undo()
    assert open_channel(Patched).args == ALL[1:]


def test_exception_in_a_channel_constructor_is_not_taken_for_a_refusal() -> None:
    made = []

    class Broken:
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            made.append(self)
            len(5)  # type: ignore[arg-type]

    with pytest.raises(TypeError, match="len"):
        open_channel(Broken)
    assert len(made) == 1


def test_channel_class_is_inspected_for_its_first_connection_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Fresh(Three):
        pass

    inspected = []
    signature = inspect.signature

    def counting(target: Any, **options: Any) -> Any:
        inspected.append(target)
        return signature(target, **options)

    monkeypatch.setattr(inspect, "signature", counting)
    for _ in range(3):
        open_channel(Fresh)
    assert inspected == [Fresh]


def test_channel_class_is_not_kept_alive() -> None:
    import gc

    class Fresh(Three):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)

    open_channel(Fresh)
    gone = weakref.ref(Fresh)
    del Fresh
    gc.collect()
    assert gone() is None


# Servers of the command line


def make_server(cls: Any) -> Any:
    return _legacy.construct(
        cls,
        (("localaddr", 1), ("remoteaddr", 2), ("data_size_limit", 3)),
        {"enable_SMTPUTF8": True},
    )


@pytest.mark.parametrize(
    ("cls", "given", "left_out"),
    [
        (lambda a, r: (a, r), (1, 2), {"data_size_limit", "enable_SMTPUTF8"}),
        (lambda a, r, size: (a, r, size), (1, 2, 3), {"enable_SMTPUTF8"}),
        (
            lambda a, r, log=0: (a, r, log),
            (1, 2, 0),
            {"data_size_limit", "enable_SMTPUTF8"},
        ),
        (lambda *args: args, (1, 2, 3), {"enable_SMTPUTF8"}),
        (
            lambda a, r, **k: (a, r, k),
            (1, 2, {"data_size_limit": 3, "enable_SMTPUTF8": True}),
            set(),
        ),
        (
            lambda a, r, size, enable_SMTPUTF8: (a, r, size, enable_SMTPUTF8),
            (1, 2, 3, True),
            set(),
        ),
    ],
)
def test_server_of_the_command_line_gets_what_it_takes(
    cls: Any, given: Any, left_out: set[str]
) -> None:
    assert make_server(cls) == (given, left_out)


def test_server_class_of_two_arguments_is_warned_about_at_its_constructor(
    heard: list[warnings.WarningMessage],
) -> None:
    class Two:
        def __init__(self, localaddr: Any, remoteaddr: Any) -> None:
            pass

    make_server(Two)
    (warning,) = heard
    assert "Two does not take all the arguments" in str(warning.message)
    assert (warning.filename, warning.lineno) == (
        __file__,
        Two.__init__.__code__.co_firstlineno,
    )


# Warnings


def test_warning_names_the_handler_and_says_what_to_write(
    heard: list[warnings.WarningMessage],
) -> None:
    give(handlers.four)
    (warning,) = heard
    assert "tests.test_legacy.Handlers.four does not take" in str(warning.message)
    assert (
        "write process_message(self, peer, mailfrom, rcpttos, data, **kwargs)"
        in str(warning.message)
    )
    assert warning.filename == __file__
    assert warning.lineno == Handlers.four.__code__.co_firstlineno


@pytest.mark.parametrize("decorate", [polite, opaque])
def test_warning_of_a_decorated_handler_points_at_what_is_decorated(
    decorate: Any, heard: list[warnings.WarningMessage]
) -> None:
    def save(peer: Any, sender: Any, to: Any, data: Any) -> None:
        pass

    give(decorate(save))
    (warning,) = heard
    assert ".save does not take" in str(warning.message)
    assert warning.lineno == save.__code__.co_firstlineno


def test_warning_of_a_partial_names_the_function(
    heard: list[warnings.WarningMessage],
) -> None:
    give(functools.partial(prefixed, "prefix"))
    assert "tests.test_legacy.prefixed does not" in str(heard[0].message)


def test_warning_made_an_error_is_shown_and_the_handler_called(
    heard: list[warnings.WarningMessage],
) -> None:
    warnings.simplefilter("error")
    assert give(handlers.four) == OLD
    assert ["Handlers.four" in str(warning.message) for warning in heard] == [True]


# Names


@pytest.fixture
def channel() -> Iterator[Any]:
    ours, theirs = socket.socketpair()
    server = mock.Mock()
    channel = smtpd_compat.SMTPChannel(server, ours, "address", map={})
    yield channel
    channel.close()
    theirs.close()


OLD_NAMES = {
    "server": "smtp_server",
    "line": "received_lines",
    "state": "smtp_state",
    "greeting": "seen_greeting",
    "mailfrom": "mailfrom",
    "rcpttos": "rcpttos",
    "data": "received_data",
    "fqdn": "fqdn",
    "peer": "peer",
    "conn": "conn",
    "addr": "addr",
}


@pytest.mark.parametrize("old", OLD_NAMES)
def test_private_name_of_3_1_is_read_and_assigned_with_a_warning_at_the_line(
    old: str, channel: Any, heard: list[warnings.WarningMessage]
) -> None:
    new, private = OLD_NAMES[old], "_SMTPChannel__" + old
    assert getattr(channel, private) is getattr(channel, new)
    marker = object()
    setattr(channel, private, marker)
    assert getattr(channel, new) is marker
    assert [str(w.message) for w in heard] == [
        f"{what} __{old} attribute on SMTPChannel is deprecated, {do} {new!r} instead"
        for what, do in (("Access to", "use"), ("Setting", "set"))
    ]
    assert {w.filename for w in heard} == {__file__}


@pytest.mark.parametrize(
    ("keyword", "argument", "address"),
    [
        ("FROM:", "FROM:<a@b.c>", "a@b.c"),
        ("FROM:", "from: a@b.c", "a@b.c"),
        ("FROM:", "FROM:<>", "<>"),
        ("TO:", 'TO:<"a b"@c>', '"a b"@c'),
        ("TO:", "TO:<nodomain>", "nodomain"),
        ("TO:", "TO:", None),
        ("TO:", "FROM:<a@b.c>", None),
        ("TO:", "", None),
        ("TO:", None, None),
    ],
)
def test_getaddr_of_3_2_finds_the_mailbox(
    keyword: str, argument: Any, address: Any, channel: Any
) -> None:
    assert channel._SMTPChannel__getaddr(keyword, argument) == address


def test_socket_methods_of_2_x_are_the_dispatchers_with_a_warning_at_the_line(
    channel: Any, heard: list[warnings.WarningMessage]
) -> None:
    assert channel.getsockname() == channel.socket.getsockname()
    assert channel.fileno() == channel.socket.fileno()
    assert re.match("SMTPChannel.getsockname is deprecated", str(heard[0].message))
    assert heard[0].filename == __file__


@pytest.mark.parametrize(
    "name", ["timeout", "detach", "sendfile", "nothing", "_accept"]
)
def test_what_no_socket_of_2_x_had_is_no_attribute_of_a_dispatcher(
    name: str, channel: Any, heard: list[warnings.WarningMessage]
) -> None:
    with pytest.raises(AttributeError, match=name):
        getattr(channel, name)
    assert heard == []


def test_attribute_of_a_dispatcher_without_socket_is_an_attribute_error() -> None:
    channel = smtpd_compat.SMTPChannel.__new__(smtpd_compat.SMTPChannel)
    with pytest.raises(AttributeError, match="getsockname"):
        channel.getsockname()  # type: ignore[attr-defined]


# Hooks that take lines for text, on a real connection


class Keeping(smtpd_compat.SMTPServer):
    messages: list[Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.messages = []

    def process_message(self, *args: Any, **kwargs: Any) -> None:
        self.messages.append(args[3])


def serving_with(channel: Any, server: Any = Keeping) -> Any:
    class Server(server):
        channel_class = channel

    return serving(Server)


def deliver(client: Any) -> bytes:
    """Send a message, after a greeting; the reply at its end."""
    for line in (b"MAIL FROM:<a@b.c>", b"RCPT TO:<d@e.f>"):
        assert client.say(line) == b"250 OK\r\n"
    assert client.say(b"DATA").startswith(b"354 ")
    return client.say(b"Subject: x\r\n.")


def test_hook_that_answers_and_then_fails_on_bytes_is_not_run_again() -> None:
    class Channel(smtpd_compat.SMTPChannel):
        def found_terminator(self) -> None:
            lines = self.received_lines
            super().found_terminator()
            self.last = "".join(lines)

    with serving_with(Channel) as server:
        for _ in range(2):
            with connected(server) as client:
                assert client.say(b"HELO me").startswith(b"250 ")
                assert deliver(client) == b"250 OK\r\n"
                assert deliver(client) == b"250 OK\r\n"
    assert server.messages == [b"Subject: x"] * 4


def test_handler_that_takes_bytes_for_text_is_called_once_for_a_message() -> None:
    class Channel(smtpd_compat.SMTPChannel):
        def found_terminator(self) -> None:
            super().found_terminator()

    class Server(Keeping):
        def process_message(self, *args: Any, **kwargs: Any) -> None:
            super().process_message(*args, **kwargs)
            "".join([args[3]])

    with serving_with(Channel, Server) as server, connected(server) as client:
        assert client.say(b"HELO me").startswith(b"250 ")
        assert deliver(client).startswith(b"451 ")
        assert deliver(client).startswith(b"451 ")
    assert server.messages == [b"Subject: x"] * 2


def test_hook_of_today_with_a_mistake_goes_on_getting_bytes() -> None:
    class Channel(smtpd_compat.SMTPChannel):
        def found_terminator(self) -> None:
            line = b"".join(self.received_lines)
            if line == b"XMISTAKE":
                line.split(" ")
            super().found_terminator()

    with serving_with(Channel) as server, connected(server) as client:
        assert client.say(b"XMISTAKE").startswith(b"451 ")
        assert client.say(b"HELO me").startswith(b"250 ")
        assert deliver(client) == b"250 OK\r\n"
    assert server.messages == [b"Subject: x"]


def test_hook_that_takes_lines_away_before_it_joins_them_gets_them_again() -> None:
    class Channel(smtpd_compat.SMTPChannel):
        def found_terminator(self) -> None:
            lines, self.received_lines = self.received_lines, []
            line = "".join(lines)
            self.push("250 " + line.lower())

    with serving_with(Channel) as server, connected(server) as client:
        assert client.say(b"HELLO") == b"250 hello\r\n"
        assert client.say(b"\xc3\x89") == b"250 \\xe9\r\n"


def test_hook_that_collects_first_and_then_fails_on_bytes_collects_once() -> None:
    class Channel(smtpd_compat.SMTPChannel):
        heard = ""

        def collect_incoming_data(self, data: Any) -> None:
            super().collect_incoming_data(data)
            self.heard = self.heard + data

    with serving_with(Channel) as server, connected(server) as client:
        assert client.say(b"HELO me").startswith(b"250 ")
        assert deliver(client) == b"250 OK\r\n"
    assert server.messages == [b"Subject: x"]


def test_what_a_hook_takes_is_tried_out_once_for_a_class() -> None:
    tries: list[type] = []

    class Channel(smtpd_compat.SMTPChannel):
        def found_terminator(self) -> None:
            tries.append(type(self.received_lines[0]))
            self.received_lines = ["".join(self.received_lines)]
            super().found_terminator()

    with serving_with(Channel) as server:
        for _ in range(2):
            with connected(server) as client:
                client.say(b"NOOP")
                client.say(b"NOOP")
    assert tries == [bytes, str, str, str, str]


def test_hook_patched_into_the_channel_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = smtpd_compat.SMTPChannel.found_terminator

    def found_terminator(self: Any) -> None:
        self.received_lines = ["".join(self.received_lines)]
        original(self)

    with serving(Keeping) as server:
        with monkeypatch.context() as patch:
            patch.setattr(
                smtpd_compat.SMTPChannel, "found_terminator", found_terminator
            )
            with connected(server) as client:
                assert client.say(b"HELO me").startswith(b"250 ")
                assert deliver(client) == b"250 OK\r\n"
        with connected(server) as client:
            assert client.say(b"HELO me").startswith(b"250 ")
            client.say(b"MAIL FROM:<a@b.c>")
            client.say(b"RCPT TO:<d@e.f>")
            client.say(b"DATA")
            client.send(b"Subject", b": x\r", b"\n")
            assert client.say(b".") == b"250 OK\r\n"
    assert server.messages == [b"Subject: x"] * 2


def test_hook_assigned_on_a_channel_gets_text_if_it_takes_lines_for_it() -> None:
    class Channel(smtpd_compat.SMTPChannel):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)

            def found_terminator() -> None:
                self.push("250 " + "".join(self.received_lines))
                self.received_lines = []

            self.found_terminator = found_terminator  # type: ignore[method-assign]

    with serving_with(Channel) as server, connected(server) as client:
        assert client.say(b"HELLO") == b"250 HELLO\r\n"
        assert client.say(b"WORLD") == b"250 WORLD\r\n"


def test_greeting_accepted_without_push_counts(
    heard: list[warnings.WarningMessage],
) -> None:
    class Channel(smtpd_compat.SMTPChannel):
        def smtp_HELO(self, arg: Any) -> None:
            smtpd_compat.asynchat.async_chat.push(self, b"250 hello\r\n")

    with serving_with(Channel) as server, connected(server) as client:
        assert client.say(b"HELO me") == b"250 hello\r\n"
        assert deliver(client) == b"250 OK\r\n"
    assert ["does not note it" in str(warning.message) for warning in heard] == [True]


def test_greeting_refused_does_not_count() -> None:
    class Channel(smtpd_compat.SMTPChannel):
        def smtp_EHLO(self, arg: Any) -> None:
            self.push("502 not here")

    with serving_with(Channel) as server, connected(server) as client:
        assert client.say(b"EHLO me") == b"502 not here\r\n"
        assert client.say(b"MAIL FROM:<a@b.c>") == b"503 Error: send HELO first\r\n"


def test_greeting_by_a_function_assigned_on_a_channel_counts() -> None:
    class Channel(smtpd_compat.SMTPChannel):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.smtp_HELO = lambda arg: self.push("250 hello " + arg)

    with serving_with(Channel) as server, connected(server) as client:
        assert client.say(b"HELO me") == b"250 hello me\r\n"
        assert deliver(client) == b"250 OK\r\n"


# Under the old name


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        check=False,
        capture_output=True,
        encoding="utf-8",
    )


def test_install_as_smtpd_may_be_called_twice_and_returns_nothing() -> None:
    ended = run(
        "import smtpd_compat\n"
        "print(smtpd_compat.install_as_smtpd(), smtpd_compat.install_as_smtpd())\n"
        "import smtpd; from smtpd import SMTPServer\n"
        "print(smtpd is smtpd_compat, SMTPServer is smtpd_compat.SMTPServer)\n"
    )
    assert ended.stdout.split() == ["None", "None", "True", "True"], ended.stderr


def test_install_as_smtpd_refuses_when_another_smtpd_was_imported() -> None:
    ended = run(
        "import sys, types\n"
        "other = sys.modules['smtpd'] = types.ModuleType('smtpd')\n"
        "import smtpd_compat\n"
        "try: smtpd_compat.install_as_smtpd()\n"
        "except ImportError as error: print(error)\n"
        "print(sys.modules['smtpd'] is other)\n"
    )
    said, kept = ended.stdout.splitlines()
    assert "<module 'smtpd'> is imported already" in said
    assert "call install_as_smtpd() before" in said
    assert kept == "True"


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="the module is gone")
def test_install_as_smtpd_refuses_when_the_standard_librarys_was_imported() -> None:
    ended = run("import smtpd, smtpd_compat; smtpd_compat.install_as_smtpd()")
    assert ended.returncode == 1
    assert "ImportError: cannot install smtpd_compat as smtpd" in ended.stderr
