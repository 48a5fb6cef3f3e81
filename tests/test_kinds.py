"""Which kind of message a handler takes, bytes or text, and how that is found out."""

from __future__ import annotations

import functools
import threading
import types
from typing import Any

import pytest

import smtpd_compat
from smtpd_compat._eras import _calls, _kinds
from tests.support.collecting import collect
from tests.support.handlers import DATA, ENVELOPE, OPTIONS, TEXT, Decorated, opaque
from tests.support.keeping import deliver
from tests.support.mixing import WITH_BYTES, WITH_TEXT
from tests.support.serving import serving
from tests.support.talking import connected

pytestmark = pytest.mark.usefixtures("heard")

TO_BYTES = "takes the message for bytes"
TO_TEXT = "takes the message for str"


def give(handler: Any, times: int = 2, data: bytes = DATA) -> None:
    """Hand messages over to *handler*."""
    for _ in range(times):
        _calls.call_process_message(handler, ENVELOPE, data, dict(OPTIONS))


def warned(heard: Any, text: str) -> int:
    """How many authors heard *text*."""
    return sum(text in str(warning.message) for warning in heard)


@pytest.mark.parametrize("name", WITH_TEXT)
def test_handler_with_keywords_that_takes_the_message_for_text(
    name: str, heard: Any
) -> None:
    calls: list[Any] = []

    class Server:
        def process_message(self, p: Any, m: Any, r: Any, data: Any, **_: Any) -> None:
            calls.append(data)
            WITH_TEXT[name](data)

    give(Server().process_message, data=b"Subject: caf\xc3\xa9")
    assert calls == [b"Subject: caf\xc3\xa9", "Subject: caf\xe9", "Subject: caf\xe9"]
    assert warned(heard, TO_TEXT) == 1


@pytest.mark.parametrize("name", WITH_BYTES)
def test_handler_of_four_arguments_that_takes_the_message_for_bytes(
    name: str, heard: Any
) -> None:
    calls: list[Any] = []

    class Server:
        def process_message(self, p: Any, m: Any, r: Any, data: Any) -> None:
            calls.append(data)
            WITH_BYTES[name](data)

    give(Server().process_message)
    assert calls == [TEXT, DATA, DATA]
    assert warned(heard, TO_BYTES) == 1


class OfText:
    """Handlers that take the message for text; each notes what it is given."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def method(self, p: Any, m: Any, r: Any, data: Any, **_: Any) -> None:
        self.calls.append(data)
        data.split("\n")

    def by_helper(self, p: Any, m: Any, r: Any, data: Any, **_: Any) -> None:
        self.calls.append(data)
        self.helper()

    def helper(self) -> None:
        self.calls[-1].split("\n")

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        self.method(*args, **kwargs)

    decorated = opaque(method)
    decorated_by_class = Decorated(method)
    partial_method = functools.partialmethod(method, extra=1)


FORMS: dict[str, Any] = {
    "method": lambda given: given.method,
    "method with a helper": lambda given: given.by_helper,
    "instance": lambda given: given,
    "partial": lambda given: functools.partial(given.method, extra=1),
    "partial of an instance": functools.partial,
    "partial method": lambda given: given.partial_method,
    "decorated": lambda given: given.decorated,
    "decorated by a class": lambda given: given.decorated_by_class,
    "decorated function": lambda given: opaque(given.method),
    "lambda": lambda given: lambda p, m, r, d, **k: given.method(p, m, r, d),
    "function": lambda given: functools.wraps(given.method)(
        lambda *args, **kwargs: given.method(*args, **kwargs)
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_handler_of_every_form_that_takes_the_message_for_text(form: str) -> None:
    class Fresh(OfText):
        pass

    given = Fresh()
    handler = FORMS[form](given)
    give(handler)
    assert given.calls == [DATA, TEXT, TEXT]


def test_a_new_partial_for_every_message_is_one_handler() -> None:
    given = OfText()
    for _ in range(3):
        give(given.decorated_by_class, times=1)
    assert given.calls.count(DATA) <= 1
    assert given.calls.count(TEXT) == 3


def test_decorated_handler_of_four_arguments_that_writes_octets() -> None:
    calls: list[Any] = []

    @opaque
    def handler(peer: Any, mailfrom: Any, rcpttos: Any, data: Any) -> None:
        calls.append(data)
        data + b""

    give(handler)
    assert calls == [TEXT, DATA, DATA]


def test_what_a_method_takes_is_found_out_for_each_class() -> None:
    class Base:
        def process_message(self, p: Any, m: Any, r: Any, data: Any, **_: Any) -> None:
            self.keep(data)

        def keep(self, data: Any) -> None:
            raise NotImplementedError

    kept: list[Any] = []

    class Text(Base):
        def keep(self, data: Any) -> None:
            kept.append(data + "")

    class Octets(Base):
        def keep(self, data: Any) -> None:
            kept.append(data + b"")

    for _ in range(2):
        give(Octets().process_message, times=1)
        give(Text().process_message, times=1)
    assert kept == [DATA, TEXT] * 2


def test_what_a_class_method_takes_is_found_out_for_each_class() -> None:
    kept: list[Any] = []

    class Octets:
        empty: Any = b""

        @classmethod
        def process_message(cls, p: Any, m: Any, r: Any, data: Any, **_: Any) -> None:
            kept.append(data)
            data + cls.empty

    class Text(Octets):
        empty = ""

    for _ in range(2):
        give(Octets.process_message, times=1)
        give(Text.process_message, times=1)
    assert kept == [DATA, DATA, TEXT, DATA, TEXT]


def test_what_a_method_takes_is_found_out_once_for_a_class() -> None:
    class Fresh(OfText):
        pass

    for calls in ([DATA, TEXT], [TEXT]):
        given = Fresh()
        give(given.method, times=1)
        assert given.calls == calls


def test_what_is_known_of_a_handler_goes_with_it() -> None:
    class Server:
        def process_message(self, p: Any, m: Any, r: Any, data: Any, **_: Any) -> None:
            """Takes anything."""

    collect()
    known = len(_kinds._CURRENT)
    give(Server().process_message)
    assert len(_kinds._CURRENT) in (known, known + 1)
    del Server
    collect()
    assert len(_kinds._CURRENT) <= known


def test_handler_patched_onto_an_instance_leaves_its_class_alone() -> None:
    kept: list[Any] = []

    class Server:
        def process_message(self, p: Any, m: Any, r: Any, data: Any, **_: Any) -> None:
            kept.append(data)

    server: Any = Server()
    give(server.process_message, times=1)
    server.process_message = lambda p, m, r, data, **_: kept.append(data + "")
    give(server.process_message, times=1)
    del server.process_message
    give(server.process_message, times=1)
    assert kept == [DATA, TEXT, DATA]


# No reason to try the other kind


def test_handler_that_has_taken_a_message_is_not_called_twice() -> None:
    calls: list[Any] = []

    class Server:
        def process_message(self, p: Any, m: Any, r: Any, data: Any, **_: Any) -> None:
            calls.append(data)
            if len(calls) > 1:
                data.split("\n")

    server = Server()
    give(server.process_message, times=1)
    for other in (server, Server()):
        with pytest.raises(TypeError):
            give(other.process_message)
    assert calls == [DATA] * 3


def library(code: str) -> Any:
    """Somebody else's module."""
    module = types.ModuleType("library")
    exec(compile(code, "library.py", "exec"), vars(module))
    return module


AUDIT = """
kept = []

def audit(what, **more):
    mail = kept and kept[0]
    return keep(what)

def plain(what):
    mail = kept[0]
    return keep(what)

def keep(what):
    return b"octets" + "text"

def by_name(*, first, what):
    return b"octets" + "text"

def late():
    return again()

def again():
    return keep(kept[0])
"""

MAIL = b"Subject: caf\xc3\xa9\n\ntext utf-8"

#: It holds itself, as objects of a parser do that know their parents.
ROUND: list[Any] = []
ROUND.append(ROUND)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        *((5, MAIL), ("ann@example.com", MAIL), (None, MAIL), ([1, "x"], MAIL)),
        *((b"ping", MAIL), (b"", MAIL), ("", MAIL), ("utf-8", MAIL), (ROUND, MAIL)),
        *(("To: you\n\nother text", MAIL), ({"charset": "utf-8"}, MAIL)),
        *((b"ping", b""), ("ping", b"")),
    ],
)
@pytest.mark.parametrize("keywords", [True, False])
def test_error_of_somebody_elses_code_called_with_something_else(
    what: Any, message: bytes, keywords: bool
) -> None:
    calls: list[Any] = []
    audits = library(AUDIT)

    def handler(p: Any, m: Any, r: Any, data: Any, **kwargs: Any) -> None:
        calls.append(data)
        audits.kept.append(data)
        (audits.audit if kwargs else audits.plain)(what)

    def four(p: Any, m: Any, r: Any, data: Any) -> None:
        handler(p, m, r, data)

    for _ in range(2):
        with pytest.raises(TypeError):
            give(handler if keywords else four, times=1, data=message)
    assert calls == [message if keywords else message.decode()] * 2


@pytest.mark.parametrize(
    "what",
    [
        lambda data: data,
        lambda data: data[:4] if isinstance(data, bytes) else data,
        lambda data: data.upper(),
        lambda data: {"mail": [data]},
        lambda data: {"mail": {"lines": (data,)}},
        lambda data: {data},
        lambda data: frozenset([data]),
        lambda data: data[:9] + data,
        lambda data: [5, data[:11] + data],
        lambda data: data.splitlines(),
    ],
)
@pytest.mark.parametrize("keywords", [True, False])
def test_error_of_somebody_elses_code_called_with_the_message(
    what: Any, keywords: bool
) -> None:
    calls: list[Any] = []
    wanted = str if keywords else bytes
    keeps = library(
        "def audit(what):\n    return keep()\n"
        "def keep():\n    return b'octets' + 'text'\n"
    )

    def handler(p: Any, m: Any, r: Any, data: Any, **kwargs: Any) -> None:
        calls.append(data)
        if not isinstance(data, wanted):
            keeps.audit(what(data))

    def four(p: Any, m: Any, r: Any, data: Any) -> None:
        handler(p, m, r, data)

    give(handler if keywords else four, times=1, data=b"Subject: x\n\n" + DATA)
    assert [type(data) for data in calls] == [*{bytes, str} - {wanted}, wanted]


def test_error_of_somebody_elses_code_called_with_an_empty_message() -> None:
    calls: list[Any] = []

    def handler(p: Any, m: Any, r: Any, data: Any, **kwargs: Any) -> None:
        calls.append(data)
        if isinstance(data, bytes):
            library(AUDIT).audit(data)

    give(handler, times=1, data=b"")
    assert calls == [b"", ""]


@pytest.mark.parametrize(
    "what",
    [
        lambda audits, data: audits.by_name(first=1, what=data),
        lambda audits, data: audits.audit(1, more=data),
        lambda audits, data: audits.late(),
    ],
    ids=["by name", "among keywords", "by what it has kept"],
)
def test_error_of_somebody_elses_code_that_was_given_the_message_somehow(
    what: Any,
) -> None:
    calls: list[Any] = []
    audits = library(AUDIT)

    def handler(p: Any, m: Any, r: Any, data: Any, **kwargs: Any) -> None:
        calls.append(data)
        audits.kept.append(data)
        if isinstance(data, bytes):
            what(audits, data)

    give(handler, times=1)
    assert calls == [DATA, TEXT]


def test_mistake_that_neither_kind_mends_is_tried_once() -> None:
    calls: list[Any] = []

    def handler(p: Any, m: Any, r: Any, data: Any, **kwargs: Any) -> None:
        calls.append(data)
        b"octets".join(["text"])  # type: ignore[list-item]

    for _ in range(2):
        with pytest.raises(TypeError):
            give(handler, times=1)
    assert calls == [DATA, TEXT, DATA]


def test_mistake_of_its_own_with_either_kind_is_the_first_ones() -> None:
    calls: list[Any] = []

    def handler(p: Any, m: Any, r: Any, data: Any, **kwargs: Any) -> None:
        calls.append(data)
        data.split("\n")
        data.decode()

    for _ in range(2):
        with pytest.raises(TypeError) as caught:
            give(handler, times=1)
        assert caught.value.__cause__ is None
    assert calls == [DATA, TEXT, DATA]


@pytest.mark.parametrize(
    "error",
    [OSError(28, "no space"), TypeError("no space"), AttributeError("no space")],
)
def test_failure_that_comes_after_the_other_kind_was_taken_is_raised(
    error: Exception,
) -> None:
    calls: list[Any] = []

    def handler(p: Any, m: Any, r: Any, data: Any, **kwargs: Any) -> None:
        calls.append(data)
        data.split("\n")
        raise error

    for _ in range(2):
        with pytest.raises(type(error), match="no space"):
            give(handler, times=1)
    assert calls == [DATA, TEXT, TEXT]


def test_lists_that_the_first_call_changed_are_as_before() -> None:
    seen: list[Any] = []

    def handler(p: Any, m: Any, rcpttos: Any, data: Any, **kwargs: Any) -> None:
        seen.append((list(rcpttos), list(kwargs["mail_options"])))
        rcpttos.append("archive@example.com")
        kwargs["mail_options"].clear()
        data.split("\n")

    recipients = ["b@example.com"]
    options: dict[str, Any] = {"mail_options": ["SIZE=1"], "rcpt_options": []}
    envelope = ("peer", "a@example.com", recipients)
    _calls.call_process_message(handler, envelope, DATA, options)
    assert seen == [(["b@example.com"], ["SIZE=1"])] * 2
    assert recipients == ["b@example.com", "archive@example.com"]


# On the wire


@pytest.mark.parametrize("threads", [0, 3])
def test_every_mail_is_taken_by_a_server_whose_handler_wants_text(threads: int) -> None:
    class Server(smtpd_compat.SMTPServer):
        worker_threads = threads
        taken: list[Any] = []  # noqa: RUF012

        def process_message(self, *args: Any, **kwargs: Any) -> None:
            where = threading.current_thread().name
            self.taken.append(("worker" in where, args[3].split("\n")[0]))

    with serving(Server) as server, connected(server) as client:
        client.say(b"HELO x")
        for _ in range(2):
            assert deliver(client) == b"250 OK\r\n"
    assert server.taken == [(bool(threads), "Subject: x")] * 2


def test_relay_of_2_7_whose_deliver_takes_the_message_for_text() -> None:
    class Relay(smtpd_compat.PureProxy):
        delivered: list[Any] = []  # noqa: RUF012

        def _deliver(self, mailfrom: str, rcpttos: list[str], data: Any) -> Any:
            self.delivered.append("X-Seen: yes\n" + data)
            return {}

    with serving(Relay) as server, connected(server) as client:
        client.say(b"HELO x")
        for _ in range(2):
            assert deliver(client) == b"250 OK\r\n"
    assert [text[:23] for text in server.delivered] == ["X-Seen: yes\nSubject: x\n"] * 2
