"""What handlers and classes of all eras are given, and what is forgiven them."""

from __future__ import annotations

import functools
import inspect
import subprocess
import sys
import types
import warnings
import weakref
from unittest import mock

import pytest

import smtpd_compat
from smtpd_compat._eras import _calls
from tests.support.collecting import collect
from tests.support.conversing import start_data
from tests.support.handlers import (
    DATA,
    ENVELOPE,
    NEW,
    NEW_HANDLERS,
    OLD,
    OLD_HANDLERS,
    OPTIONS,
    TEXT,
    Handlers,
    give,
    handlers,
    opaque,
    polite,
    seen,
)
from tests.support.keeping import Server, deliver, serving_with
from tests.support.serving import serving
from tests.support.talking import connected

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

pytestmark = pytest.mark.usefixtures("heard")


# process_message


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

    def by_keyword(p: Any, m: Any, r: Any, data: Any, *, mail_options: Any) -> Any:
        return data, mail_options

    assert give(by_keyword) == (DATA, OPTIONS["mail_options"])


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
        with pytest.raises(TypeError, match="mail_options|2 unexpected keyword"):
            give(handler)
    assert calls == [DATA, DATA]


def test_a_handler_that_says_what_it_takes_is_never_called_twice() -> None:
    """A TypeError from what it calls is its own, also where that is an old handler."""
    called: list[Any] = []

    class Old:
        def process_message(self, peer: Any, mailfrom: Any, to: Any, data: Any) -> None:
            raise AssertionError("not reached: refuses the keyword arguments")

    class Dispatches(Server):
        def process_message(
            self, peer: Any, mailfrom: Any, rcpttos: Any, data: Any, **kwargs: Any
        ) -> None:
            called.append(data)
            Old().process_message(peer, mailfrom, rcpttos, data, **kwargs)

    with serving(Dispatches) as server, connected(server) as client:
        start_data(client)
        assert client.say(b"x\r\n.").startswith(b"451 ")
    assert called == [b"x"]


def test_a_handler_that_hands_on_too_much_is_called_once() -> None:
    calls: list[Any] = []

    def new(p: Any, m: Any, r: Any, data: Any, **kwargs: Any) -> None: ...

    def handler(*args: Any, **kwargs: Any) -> None:
        calls.append(args[3])
        new(*args, "too much", **kwargs)  # type: ignore[call-arg]

    for _ in range(2):
        with pytest.raises(TypeError, match="takes 4 positional arguments but 5"):
            give(handler)
    assert calls == [DATA, DATA]


def test_a_handler_may_hand_on_to_handlers_of_several_eras() -> None:
    class Old:
        def process_message(self, peer: Any, sender: Any, to: Any, data: Any) -> Any:
            return seen(peer, sender, to, data)

    class HandsOn(Old):
        hand_on: Any = None

        def process_message(self, *args: Any, **kwargs: Any) -> Any:
            return (self.hand_on or super().process_message)(*args, **kwargs)

    server = HandsOn()
    server.hand_on = seen
    assert give(server.process_message) == NEW
    server.hand_on = None
    (*envelope, _), options = give(server.process_message)
    assert (tuple(envelope), options) == (ENVELOPE, {})


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
    collect()
    assert gone() is None


def test_warning_names_the_handler_and_says_what_to_write(
    heard: list[warnings.WarningMessage],
) -> None:
    give(handlers.four)
    (warning,) = heard
    assert "tests.support.handlers.Handlers.four does not take" in str(warning.message)
    assert (
        "write process_message(self, peer, mailfrom, rcpttos, data, **kwargs)"
        in str(warning.message)
    )
    assert warning.filename == Handlers.four.__code__.co_filename
    assert warning.lineno == Handlers.four.__code__.co_firstlineno


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

    def adopt(self, settings: Any) -> None:
        self.adopted = settings


def open_channel(cls: Any) -> Any:
    with mock.patch.object(_calls, "adopt_settings", Channel.adopt):
        return _calls.open_channel(ServerWithSettings(cls), "conn", "addr")


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


class Made(Channel):
    def __new__(cls, server: Any, conn: Any, addr: Any) -> Any:
        return super().__new__(cls)


class HandsOnToNew(Made):
    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return super().__new__(cls, *args, **kwargs)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.given(*args, **kwargs)


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
    HandsOnToNew: ((), {}, [*SETTINGS]),
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
    assert f"test_legacy.{cls.__name__}" in str(warning.message)
    author = next(base for base in cls.__mro__ if "__init__" in vars(base))
    lines, first = inspect.getsourcelines(author)
    assert warning.filename == __file__
    assert first <= warning.lineno < first + len(lines)


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
    _calls.open_channel(server, "conn", "addr")
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
    class Fresh(Three):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)

    open_channel(Fresh)
    gone = weakref.ref(Fresh)
    del Fresh
    collect()
    assert gone() is None


# Server classes of the command line


def make_server(cls: Any) -> Any:
    return _calls.construct(
        cls,
        (("localaddr", 1), ("remoteaddr", 2), ("data_size_limit", 3)),
        {"enable_SMTPUTF8": True},
    )


@pytest.mark.parametrize(
    ("cls", "given", "left_out"),
    [
        (lambda a, r: (a, r), (1, 2), {"data_size_limit", "enable_SMTPUTF8"}),
        (lambda a, r=0: (a, r), (1, 2), {"data_size_limit", "enable_SMTPUTF8"}),
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


def test_server_class_that_hands_all_on_to_one_of_two_arguments() -> None:
    made: list[Any] = []

    class Two:
        def __init__(self, localaddr: Any, remoteaddr: Any) -> None:
            made.append((localaddr, remoteaddr))

    class HandsOn(Two):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)

    class HandsKeywordsOn(Two):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)

    for cls in (HandsOn, HandsKeywordsOn):
        for _ in range(2):
            server, left_out = make_server(cls)
            assert type(server) is cls
            assert left_out == {"data_size_limit", "enable_SMTPUTF8"}
    assert made == [(1, 2)] * 4


def test_server_class_that_fails_inside_is_made_once() -> None:
    made: list[Any] = []

    class Two:
        def __init__(self, localaddr: Any, remoteaddr: Any) -> None:
            made.append(localaddr)

    class Mistaken(Two):
        def __init__(self, localaddr: Any, remoteaddr: Any) -> None:
            made.append(self)
            super().__init__(localaddr, remoteaddr, "too much")  # type: ignore[call-arg]

    class Hidden(Mistaken):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)

    for cls, times in ((Mistaken, 1), (Hidden, 1), (Hidden, 1)):
        made.clear()
        with pytest.raises(TypeError):
            make_server(cls)
        assert len(made) == times


# Greetings that nobody notes


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


TAKEN_OUT = """
import smtpd_compat, sys, types
smtpd_compat.install_as_smtpd()
import smtpd
first = smtpd
"""


@pytest.mark.parametrize(
    "again",
    [
        "del sys.modules['smtpd']; import smtpd",
        "del sys.modules['smtpd']; from smtpd import SMTPServer",
        "import importlib\ndel sys.modules['smtpd']; importlib.import_module('smtpd')",
        "before = dict(sys.modules); del before['smtpd']\n"
        "sys.modules.clear(); sys.modules.update(before); __import__('smtpd')",
        "smtpd_compat.install_as_smtpd(); del sys.modules['smtpd']; import smtpd",
    ],
)
def test_the_old_name_is_found_again_after_it_was_taken_out(again: str) -> None:
    ended = run(
        TAKEN_OUT + again + "\n"
        "smtpd = sys.modules['smtpd']\n"
        "print(smtpd is first, smtpd.__name__, smtpd.__spec__.name)\n"
        "print(sum(type(f).__qualname__ == '_Finder' for f in sys.meta_path))\n"
    )
    said = ["True", "smtpd_compat", "smtpd_compat", "1"]
    assert ended.stdout.split() == said, ended.stderr


def test_the_old_name_is_that_of_a_package_that_was_imported_anew() -> None:
    ended = run(
        TAKEN_OUT + "for name in ('smtpd', 'smtpd_compat'): del sys.modules[name]\n"
        "import smtpd\n"
        "import smtpd_compat\n"
        "print(smtpd is smtpd_compat, smtpd is first)\n"
        "smtpd_compat.install_as_smtpd()\n"
        "sys.modules['smtpd'] = first\n"
        "smtpd_compat.install_as_smtpd()\n"
        "print(sys.modules['smtpd'] is smtpd_compat)\n"
        "print(issubclass(smtpd.PureProxy, smtpd_compat.SMTPServer))\n"
    )
    assert ended.stdout.split() == ["True", "False", "True", "True"], ended.stderr


def test_the_old_name_is_found_where_the_package_is() -> None:
    ended = run(
        "import smtpd_compat, sys, importlib.util\n"
        "smtpd_compat.install_as_smtpd()\n"
        "print(sys.modules['smtpd'] is smtpd_compat)\n"
        "del sys.modules['smtpd']\n"
        "spec = importlib.util.find_spec('smtpd')\n"
        "print(spec.name, spec.origin == smtpd_compat.__file__)\n"
    )
    assert ended.stdout.split() == ["True", "smtpd", "True"], ended.stderr


def test_other_names_are_found_as_before() -> None:
    ended = run(
        TAKEN_OUT + "import wave, importlib.util\n"
        "print(wave.__name__, importlib.util.find_spec('smtpd_none'))\n"
        "try: import smtpd_none\n"
        "except ImportError as error: print(error.name)\n"
    )
    assert ended.stdout.split() == ["wave", "None", "smtpd_none"], ended.stderr


def test_getparams_of_3_3_is_given_one_string() -> None:
    getparams = smtpd_compat.SMTPChannel._getparams
    channel: Any = None
    assert getparams(channel, "SIZE=10 X") == {"SIZE": "10", "X": True}
    assert getparams(channel, ["SIZE=10", "X"]) == {"SIZE": "10", "X": True}
    assert getparams(channel, "") == getparams(channel, []) == {}
    assert getparams(channel, "SIZE=") is None
