"""Greetings of a program's own, however they are called, and what follows them."""

from __future__ import annotations

import functools
from typing import Any

import pytest

import smtpd_compat
from tests.support.handlers import opaque
from tests.support.keeping import deliver, serving_with
from tests.support.talking import connected

pytestmark = pytest.mark.usefixtures("heard")


class Dispatches(smtpd_compat.SMTPChannel):
    """Calls its commands by itself."""

    def found_terminator(self) -> None:
        if self.smtp_state != self.COMMAND:
            super().found_terminator()
            return
        line = b"".join(self.received_lines).decode("latin-1")
        self.received_lines = []
        self.num_bytes = 0
        verb, _, arg = line.partition(" ")
        getattr(self, "smtp_" + verb.upper())(arg or None)


class Greets:
    """Greets, and notes nothing."""

    def smtp_EHLO(self: Any, arg: Any) -> None:
        self.push("250-hello " + arg)
        self.push("250 SIZE")

    def smtp_HELO(self: Any, arg: Any) -> None:
        self.push("250 hello " + arg)


class ByAsynchat:
    """Pushes around our push."""

    def smtp_EHLO(self: Any, arg: Any) -> None:
        smtpd_compat.asynchat.async_chat.push(self, b"250 hello\r\n")

    smtp_HELO = smtp_EHLO


class BySend:
    """Sends around all pushes, as 2.7 lets it."""

    def smtp_EHLO(self: Any, arg: Any) -> None:
        self.send("250 hello\r\n")

    smtp_HELO = smtp_EHLO


class Decorated:
    """A greeting and another command, decorated alike."""

    @opaque
    def smtp_EHLO(self: Any, arg: Any) -> None:
        self.push("250 hello")

    @opaque
    def smtp_NOOP(self: Any, arg: Any) -> None:
        self.push("250 nothing done")

    smtp_HELO = smtp_EHLO


class ByHelper:
    """Answers by a helper."""

    def smtp_EHLO(self: Any, arg: Any) -> None:
        for line in ("-one", " two"):
            self.say(line)

    def say(self: Any, text: str) -> None:
        self.push("250" + text)

    smtp_HELO = smtp_EHLO


OWN = [Greets, ByAsynchat, BySend, Decorated, ByHelper]


def channel(*bases: Any) -> Any:
    return type("Channel", bases, {})


@pytest.mark.parametrize("own", OWN)
@pytest.mark.parametrize("verb", [b"EHLO", b"HELO"])
def test_greeting_that_a_found_terminator_of_ones_own_calls_counts(
    own: Any, verb: bytes, heard: Any
) -> None:
    cls = channel(own, Dispatches)
    with serving_with(cls) as server, connected(server) as client:
        assert client.say(b"MAIL FROM:<a@b.c>") == b"503 Error: send HELO first\r\n"
        assert client.say(b"NOOP").startswith(b"250 ")
        assert client.say(b"MAIL FROM:<a@b.c>") == b"503 Error: send HELO first\r\n"
        assert client.say(verb + b" me").startswith(b"250")
        assert deliver(client) == b"250 OK\r\n"
    noted = [w for w in heard if "does not note it" in str(w.message)]
    assert len(noted) == 1


@pytest.mark.parametrize("own", OWN)
@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"MAIL FROM:<a@b.c>", b"250 OK\r\n"),
        (b"RCPT TO:<a@b.c>", b"503 Error: need MAIL command\r\n"),
        (b"DATA", b"503 Error: need RCPT command\r\n"),
    ],
)
def test_greeting_of_ones_own_counts_for_the_command_right_after_it(
    own: Any, line: bytes, said: bytes
) -> None:
    class Calls(Dispatches):
        def found_terminator(self) -> None:
            command = b"".join(self.received_lines)
            if command.startswith(b"XBOTH "):
                self.received_lines = [b"EHLO me"]
                super().found_terminator()
                self.received_lines = [command[6:]]
            super().found_terminator()

    with serving_with(channel(own, Calls)) as server, connected(server) as client:
        client.send(b"XBOTH " + line + b"\r\nVRFY <>\r\n")
        replies = [client.reply()]
        while not replies[-1].startswith(b"252 "):
            replies.append(client.reply())
        assert replies[-2] == said


@pytest.mark.parametrize("own", OWN)
def test_greeting_that_another_command_calls_counts(own: Any) -> None:
    class Calls(smtpd_compat.SMTPChannel):
        def smtp_XHELLO(self, arg: Any) -> None:
            self.smtp_EHLO(arg)

    cls = channel(own, Calls)
    with serving_with(cls) as server, connected(server) as client:
        assert client.say(b"XHELLO me").startswith(b"250")
        assert deliver(client) == b"250 OK\r\n"


@pytest.mark.parametrize(
    "code, accepts", [("250", True), ("220", True), ("550", False)]
)
def test_greeting_that_has_no_code_of_its_own_counts(code: str, accepts: bool) -> None:
    noted: list[str] = []

    def greet(channel: Any, arg: str) -> None:
        channel.push(code + " hello")

    class Assigned(smtpd_compat.SMTPChannel):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.smtp_EHLO = functools.partial(greet, self)  # type: ignore[method-assign]

        def smtp_XNAME(self, arg: Any) -> None:
            noted.append(self.seen_greeting)
            self.push("250 noted")

    with serving_with(Assigned) as server, connected(server) as client:
        assert client.say(b"EHLO me") == code.encode() + b" hello\r\n"
        said = client.say(b"MAIL FROM:<a@b.c>")
        assert said.startswith(b"250 " if accepts else b"503 ")
        assert client.say(b"XNAME") == b"250 noted\r\n"
    assert noted == (["me"] if accepts else [""])


def test_greeting_that_is_not_written_in_python_counts() -> None:
    """Such as one that Cython has compiled."""

    class Compiled(smtpd_compat.SMTPChannel):
        @functools.lru_cache(maxsize=None)  # noqa: B019
        def smtp_EHLO(self, arg: Any) -> None:
            self.push("250 hello")

    with serving_with(Compiled) as server, connected(server) as client:
        assert client.say(b"EHLO me") == b"250 hello\r\n"
        assert client.say(b"MAIL FROM:<a@b> BODY=8BITMIME") == b"250 OK\r\n"


class Unhashable:
    """A greeting of one channel."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, channel: Any) -> None:
        self.channel = channel

    def __call__(self, arg: Any) -> None:
        self.channel.push("250 hello")


@pytest.mark.parametrize(
    "greeting",
    [lambda channel: lambda arg: channel.push("250 hello"), Unhashable],
    ids=["a function", "what has no hash"],
)
def test_greeting_assigned_on_a_channel_counts_where_another_command_calls_it(
    greeting: Any,
) -> None:
    class Calls(smtpd_compat.SMTPChannel):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.smtp_EHLO = greeting(self)  # type: ignore[method-assign]

        def smtp_XHELLO(self, arg: Any) -> None:
            self.smtp_EHLO(arg)

    with serving_with(Calls) as server, connected(server) as client:
        assert client.say(b"XHELLO me") == b"250 hello\r\n"
        assert deliver(client) == b"250 OK\r\n"


@pytest.mark.parametrize("given", ["", None, 250])
def test_greeting_without_a_name_counts_as_its_verb(given: Any) -> None:
    noted: list[Any] = []

    class Calls(smtpd_compat.SMTPChannel):
        def smtp_XHELLO(self, arg: Any) -> None:
            self.smtp_HELO(given)

        def smtp_HELO(self, arg: Any) -> None:
            self.push("250 hello")

        def smtp_XNAME(self, arg: Any) -> None:
            noted.append(self.seen_greeting)
            self.push("250 noted")

    with serving_with(Calls) as server, connected(server) as client:
        assert client.say(b"XHELLO") == b"250 hello\r\n"
        assert client.say(b"XNAME") == b"250 noted\r\n"
        assert deliver(client) == b"250 OK\r\n"
    assert noted == ["HELO"]


@pytest.mark.parametrize("base", [smtpd_compat.SMTPChannel, Dispatches])
def test_greeting_of_lmtp_counts(base: Any) -> None:
    class Lmtp(base):  # type: ignore[misc]
        def smtp_LHLO(self, arg: Any) -> None:
            self.push("250 hello")

    with serving_with(Lmtp) as server, connected(server) as client:
        assert client.say(b"LHLO me") == b"250 hello\r\n"
        assert client.say(b"MAIL FROM:<a@b> BODY=8BITMIME") == b"250 OK\r\n"


@pytest.mark.parametrize("base", [smtpd_compat.SMTPChannel, Dispatches])
def test_greeting_that_is_refused_in_the_end_does_not_count(base: Any) -> None:
    class Refuses(base):  # type: ignore[misc]
        def smtp_EHLO(self, arg: Any) -> None:
            self.push("550 not you")

    with serving_with(Refuses) as server, connected(server) as client:
        client.say(b"EHLO me")
        assert client.say(b"MAIL FROM:<a@b.c>") == b"503 Error: send HELO first\r\n"


@pytest.mark.parametrize("forgets_ehlo", [False, True])
def test_greeting_after_one_that_was_forgotten_counts_again(forgets_ehlo: bool) -> None:
    class Forgets(Greets, Dispatches):  # type: ignore[misc]
        def smtp_XFORGET(self, arg: Any) -> None:
            self.seen_greeting = ""
            if forgets_ehlo:
                self.extended_smtp = False
            self.push("250 who?")

    with serving_with(Forgets) as server, connected(server) as client:
        client.say(b"EHLO me")
        assert client.say(b"XFORGET") == b"250 who?\r\n"
        assert client.say(b"MAIL FROM:<a@b.c>") == b"503 Error: send HELO first\r\n"
        client.say(b"EHLO me")
        assert client.say(b"MAIL FROM:<a@b.c>") == b"250 OK\r\n"


@pytest.mark.parametrize("verb", ["HELO", "EHLO", "LHLO"])
@pytest.mark.parametrize("base", [smtpd_compat.SMTPChannel, Dispatches])
def test_greeting_that_asks_for_no_name_is_noted_by_its_verb(
    base: Any, verb: str
) -> None:
    def greet(self: Any, arg: Any) -> None:
        self.push("250 hello")

    def xname(self: Any, arg: Any) -> None:
        self.push("250 " + self.seen_greeting)

    names = {"smtp_" + verb: greet, "smtp_XNAME": xname}
    with serving_with(type("Greeter", (base,), names)) as server:
        with connected(server) as client:
            assert client.say(verb.encode()) == b"250 hello\r\n"
            assert client.say(b"XNAME") == b"250 " + verb.encode() + b"\r\n"
            assert client.say(b"MAIL FROM:<a@b.c>") == b"250 OK\r\n"


def test_greeting_that_says_nothing_has_not_accepted() -> None:
    """Though another command of the same line has."""

    class Silent(smtpd_compat.SMTPChannel):
        def smtp_EHLO(self, arg: Any) -> None:
            pass

        def found_terminator(self) -> None:
            if self.received_lines == [b"XBOTH"]:
                self.received_lines = [b"NOOP"]
                super().found_terminator()
                self.received_lines = [b"EHLO me"]
            super().found_terminator()

    with serving_with(Silent) as server, connected(server) as client:
        assert client.say(b"XBOTH") == b"250 OK\r\n"
        assert client.say(b"MAIL FROM:<a@b.c>") == b"503 Error: send HELO first\r\n"


def test_greeting_that_is_assigned_after_the_banner_counts() -> None:
    class Assigns(Dispatches):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)

            def greet(arg: Any) -> None:
                self.push("250 hello")

            self.smtp_EHLO = greet  # type: ignore[method-assign]

    with serving_with(Assigns) as server, connected(server) as client:
        assert client.say(b"EHLO me") == b"250 hello\r\n"
        assert client.say(b"MAIL FROM:<a@b.c>") == b"250 OK\r\n"


class Notes:
    """Notes the greeting by its name of today."""

    def smtp_EHLO(self: Any, arg: Any) -> None:
        self.seen_greeting = arg
        self.push("250-hello")
        self.push("250 8BITMIME")


class NotesByOldName:
    """Notes the greeting by its name of 2.7, after the reply."""

    def smtp_EHLO(self: Any, arg: Any) -> None:
        self.push("250-hello")
        self.push("250 8BITMIME")
        self._SMTPChannel__greeting = arg


@pytest.mark.parametrize("own", [Greets, Notes, NotesByOldName])
@pytest.mark.parametrize("base", [smtpd_compat.SMTPChannel, Dispatches])
def test_parameters_after_a_greeting_of_ones_own_are_taken(
    own: Any, base: Any, heard: Any
) -> None:
    cls = channel(own, base)
    with serving_with(cls) as server, connected(server) as client:
        client.say(b"EHLO me")
        assert client.say(b"MAIL FROM:<a@b> BODY=8BITMIME SIZE=5") == b"250 OK\r\n"
    noted = [w for w in heard if "does not note it" in str(w.message)]
    assert len(noted) == (own is Greets)


@pytest.mark.parametrize("base", [smtpd_compat.SMTPChannel, Dispatches])
def test_greeting_that_says_itself_that_it_takes_no_parameters(base: Any) -> None:
    class Basic(base):  # type: ignore[misc]
        def smtp_EHLO(self, arg: Any) -> None:
            self.seen_greeting = arg
            self.extended_smtp = False
            self.push("250 hello")

    with serving_with(Basic) as server, connected(server) as client:
        client.say(b"EHLO me")
        reply = client.say(b"MAIL FROM:<a@b> BODY=8BITMIME")
        assert reply == b"501 Syntax: MAIL FROM: <address>\r\n"


def test_the_name_that_is_noted_is_what_the_greeting_was_given() -> None:
    noted: list[str] = []

    class Greeter(smtpd_compat.SMTPChannel):
        def smtp_EHLO(self, arg: Any) -> None:
            words = arg.split()
            last = words[-1]
            self.push("250 hello " + last)

        def smtp_XHELLO(self, arg: Any) -> None:
            self.smtp_EHLO(arg)

        def smtp_XNAME(self, arg: Any) -> None:
            noted.append(self.seen_greeting)
            self.push("250 noted")

        def found_terminator(self) -> None:
            super().found_terminator()

    with serving_with(Greeter) as server:
        for verb in (b"EHLO", b"XHELLO"):
            with connected(server) as client:
                assert client.say(verb + b" me and you") == b"250 hello you\r\n"
                assert client.say(b"XNAME") == b"250 noted\r\n"
    assert noted == ["me and you"] * 2


def test_helo_of_ones_own_takes_no_parameters() -> None:
    with serving_with(channel(Greets, smtpd_compat.SMTPChannel)) as server, connected(
        server
    ) as client:
        client.say(b"HELO me")
        reply = client.say(b"MAIL FROM:<a@b> BODY=8BITMIME")
        assert reply == b"501 Syntax: MAIL FROM: <address>\r\n"


# 8BITMIME


def four(peer: Any, mailfrom: Any, rcpttos: Any, data: Any) -> None:
    data.encode("utf-8", "surrogateescape")


def today(peer: Any, mailfrom: Any, rcpttos: Any, data: Any, **kwargs: Any) -> None:
    data.decode("latin-1")


def keywords_and_text(p: Any, m: Any, r: Any, data: Any, **kwargs: Any) -> None:
    data.split("\n")


def octets(peer: Any, mailfrom: Any, rcpttos: Any, data: Any) -> None:
    data.decode("latin-1")


@pytest.mark.parametrize(
    ("handler", "before", "after"),
    [
        (four, False, False),
        (today, True, True),
        (keywords_and_text, True, False),
        (octets, False, True),
        (functools.partial(four), False, False),
    ],
)
def test_eight_bit_mail_is_not_asked_for_where_the_handler_gets_text(
    handler: Any, before: bool, after: bool
) -> None:
    class Server(smtpd_compat.SMTPServer):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            # A function of its own, which nobody has tried out.
            self.process_message = (  # type: ignore[method-assign]
                handler
                if isinstance(handler, functools.partial)
                else type(handler)(handler.__code__, globals())
            )

    with serving_with(smtpd_compat.SMTPChannel, Server) as server:
        for offered in (before, after):
            with connected(server) as client:
                assert (b"8BITMIME" in client.say(b"EHLO me")) == offered
                client.say(b"MAIL FROM:<a@b.c> BODY=8BITMIME")
                assert client.say(b"RCPT TO:<d@e.f>") == b"250 OK\r\n"
                client.say(b"DATA")
                assert client.say(b"caf\xc3\xa9 \xff\r\n.") == b"250 OK\r\n"


def test_eight_bit_mail_is_asked_for_where_a_method_takes_bytes() -> None:
    class Old(smtpd_compat.SMTPServer):
        def process_message(self, p: Any, m: Any, r: Any, data: Any) -> None:  # type: ignore[override]
            data.encode("utf-8", "surrogateescape")

    class Today(smtpd_compat.SMTPServer):
        def process_message(self, *args: Any, **kwargs: Any) -> None:
            args[3].decode("latin-1")

    for cls, offered in ((Old, False), (Today, True)):
        with serving_with(smtpd_compat.SMTPChannel, cls) as server:
            for _ in range(2):
                with connected(server) as client:
                    assert (b"8BITMIME" in client.say(b"EHLO me")) == offered
                    assert deliver(client) == b"250 OK\r\n"


# send


def test_reply_sent_as_text(heard: Any) -> None:
    class Channel(smtpd_compat.SMTPChannel):
        def smtp_NOOP(self, arg: Any) -> None:
            assert self.send("250 caf\xe9\r\n") == 13

    with serving_with(Channel) as server, connected(server) as client:
        client.send(b"HELO me\r\nNOOP\r\nRSET\r\n")
        assert client.reply().startswith(b"250 ")
        assert client.replies(2) == [b"250 caf\\xe9\r\n", b"250 OK\r\n"]
    assert sum("sends text" in str(w.message) for w in heard) == 1


def test_channel_whose_send_returns_nothing_is_no_error() -> None:
    class Channel(smtpd_compat.SMTPChannel):
        def send(self, data: Any) -> Any:
            if data.startswith(b"250"):
                self.close()
                return None
            return super().send(data)

        def handle_error(self) -> None:
            errors.append("an error")

    errors: list[str] = []
    with serving_with(Channel) as server, connected(server) as client:
        client.send(b"NOOP\r\nNOOP\r\n")
        assert client.rest() == b""
    assert errors == []
