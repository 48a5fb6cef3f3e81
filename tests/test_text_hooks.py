"""Lines as text: with decode_data, and for hooks that were written for them."""

from __future__ import annotations

import io
import re
import types

import pytest

import smtpd_compat
from tests.support.conversing import BAD, OK, TRANSACTION, VERIFIED
from tests.support.keeping import Channel, KeepsData, Server, deliver, serving_with
from tests.support.mixing import WITH_TEXT
from tests.support.serving import serving
from tests.support.talking import connected, on_stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

pytestmark = pytest.mark.usefixtures("heard")


@pytest.mark.parametrize("cut", range(1, 6))
def test_a_character_cut_between_segments_decodes(cut: int) -> None:
    text = "\xe9\u20ac\U0001f600".encode()
    with on_stage(Server, decode_data=True) as stage, stage.connect() as client:
        line = b"VRFY @" + text
        client.send(line[: 6 + cut])
        stage.until(lambda: stage.channels[0].num_bytes)
        client.send(line[6 + cut :] + b"\r\n")
        assert b"VRFY @\\xe9\\u20ac\\U0001f600" in stage.hear(client)
        for line in (b"HELO x", *TRANSACTION, b"DATA"):
            stage.say(client, line)
        client.send(text[:cut])
        stage.turn(3, timeout=0.01)
        assert stage.say(client, text[cut:] + b"\r\n.") == OK
        assert stage.server.messages[0].data == text.decode()


class Logs(Channel):
    """A login dialogue, whose lines found_terminator takes for itself."""

    asks = False

    def collect_incoming_data(self, data: Any) -> None:
        assert type(data) is bytes
        super().collect_incoming_data(data)

    def smtp_AUTH(self, arg: Any) -> None:
        self.asks = True
        self.push("334 name")

    def found_terminator(self) -> None:
        if not self.asks:
            super().found_terminator()
            return
        said = self._emptystring.join(self.received_lines)
        self.asks = said.startswith("more")
        self.received_lines = []
        self.push(f"235 {ascii(said)}")


@pytest.mark.parametrize("in_octets", [False, True])
def test_half_a_character_belongs_to_its_own_line(in_octets: bool) -> None:
    with serving_with(Logs) as plain:
        plain._decode_data = True
        with connected(plain) as client:

            def say(line: bytes) -> bytes:
                line += b"\r\n"
                pieces = [bytes((octet,)) for octet in line] if in_octets else [line]
                client.send(*pieces)
                return client.reply()

            assert say(b"AUTH") == b"334 name\r\n"
            assert say(b"more\xc3") == b"235 'more\\udcc3'\r\n"
            assert say(b"\xa9x\xe2\x82") == b"235 '\\udca9x\\udce2\\udc82'\r\n"
            assert say(b"VRFY <>").startswith(b"252 ")


def test_half_a_character_at_the_end_of_a_line_is_no_part_of_the_next() -> None:
    with on_stage(Server, decode_data=True) as stage, stage.connect() as client:
        client.send(b"VRFY a@b\xc3")
        stage.until(lambda: stage.channels[0].num_bytes)
        assert stage.say(client, b"") == BAD
        assert stage.say(client, b"VRFY a@b") == VERIFIED
        assert stage.say(client, b"\xa9") == BAD


# Hooks that take lines for text


def test_hook_that_takes_lines_away_before_it_joins_them_gets_them_again() -> None:
    class Channel(smtpd_compat.SMTPChannel):
        def found_terminator(self) -> None:
            lines, self.received_lines = self.received_lines, []
            line = "".join(lines)
            self.push("250 " + line.lower())

    with serving_with(Channel) as server, connected(server) as client:
        assert client.say(b"HELLO") == b"250 hello\r\n"
        assert client.say(b"\xc3\x89") == b"250 \\xe9\r\n"


@pytest.mark.parametrize(
    "kept", [[], [1, None], ["text"], [b"octets", "text"], [[]], b"", b"octets", {}]
)
def test_hook_that_takes_a_line_for_text_may_keep_anything(kept: Any) -> None:
    class Channel(smtpd_compat.SMTPChannel):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.counts = kept[:] if isinstance(kept, list) else kept

        def found_terminator(self) -> None:
            line = "".join(self.received_lines)
            self.received_lines = []
            self.push(f"250 {line} {self.counts}")

    with serving_with(Channel) as server, connected(server) as client:
        for _ in range(2):
            assert client.say(b"HELLO") == f"250 HELLO {kept}\r\n".encode()


def test_hook_that_collects_first_and_then_fails_on_bytes_collects_once() -> None:
    class Channel(smtpd_compat.SMTPChannel):
        heard = ""

        def collect_incoming_data(self, data: Any) -> None:
            super().collect_incoming_data(data)
            self.heard = self.heard + data

    for first in (b"NOOP", b"VRFY " + b"x" * 300):
        Fresh = type("Fresh", (Channel,), {})
        with serving_with(Fresh) as server, connected(server) as client:
            assert client.say(first).startswith((OK, b"252 "))
            assert client.say(b"HELO me").startswith(b"250 ")
            assert deliver(client) == b"250 OK\r\n"
        assert server.messages == [b"Subject: x"]


def test_a_class_that_takes_text_has_text_to_join_it_with() -> None:
    joins: list[Any] = []

    class Channel(smtpd_compat.SMTPChannel):
        def found_terminator(self) -> None:
            "".join(self.received_lines)
            joins.append(self._emptystring)
            super().found_terminator()

    with serving_with(Channel) as server:
        for _ in range(2):
            with connected(server) as client:
                assert client.say(b"NOOP") == OK
                joins.clear()
                assert client.say(b"NOOP") == OK
                assert joins == [""]
        with connected(server) as client:
            joins.clear()
            assert client.say(b"NOOP") == OK
            assert joins == [""]


def test_a_greeting_that_a_hook_of_text_takes_by_itself_counts() -> None:
    class Channel(smtpd_compat.SMTPChannel):
        def found_terminator(self) -> None:
            line = "".join(self.received_lines)
            if line.startswith("EHLO"):
                self.received_lines = []
                self.smtp_EHLO(line[5:])
            elif line == "XNAME":
                self.received_lines = []
                self.push("250 " + self.seen_greeting)
            else:
                super().found_terminator()

        def smtp_EHLO(self, arg: Any) -> None:
            self.push("250 hello " + arg)

    with serving_with(Channel) as server:
        for _ in range(2):
            with connected(server) as client:
                assert client.say(b"EHLO me") == b"250 hello me\r\n"
                assert client.say(b"XNAME") == b"250 me\r\n"
                assert deliver(client) == OK


def test_hook_that_keeps_a_line_elsewhere_and_looks_at_it_by_a_function() -> None:
    class Takes(smtpd_compat.SMTPChannel):
        def found_terminator(self) -> None:
            lines, self.received_lines = self.received_lines, []
            self.push("250 " + re.sub("X", "hello ", lines[0]))

    class Keeps(smtpd_compat.SMTPChannel):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self.pieces: list[Any] = []
            super().__init__(*args, **kwargs)

        def collect_incoming_data(self, data: Any) -> None:
            self.pieces.append(data)

        def found_terminator(self) -> None:
            self.push("250 " + re.sub("X", "hello ", self.pieces[-1]))

    for channel in (Takes, Keeps):
        with serving_with(channel) as server, connected(server) as client:
            assert client.say(b"Xyou") == b"250 hello you\r\n"
            assert client.say(b"Xme") == b"250 hello me\r\n"


def test_hook_that_adds_up_a_line_in_pieces_and_takes_it_for_text() -> None:
    class AddsUp(Channel):
        heard = b""

        def collect_incoming_data(self, data: Any) -> None:
            super().collect_incoming_data(data)
            self.heard = self.heard + data if self.heard else data

        def found_terminator(self) -> None:
            words = self.heard.split(" ")
            self.heard = b""
            self.received_lines = []
            self.push(f"250 {words}")

    with on_stage(Server) as stage:
        stage.server.channel_class = AddsUp
        with stage.connect() as client:
            client.send(b"HELLO w")
            stage.until(lambda: stage.channels[0].received_lines)
            assert stage.say(client, b"orld") == b"250 ['HELLO', 'world']\r\n"
            assert stage.say(client, b"again") == b"250 ['again']\r\n"


def test_a_collector_may_keep_octets_also_with_decode_data() -> None:
    class Collects(Channel):
        def collect_incoming_data(self, data: Any) -> None:
            self.received_lines.append(data)

    with on_stage(Server, decode_data=True) as stage:
        stage.server.channel_class = Collects
        with stage.connect() as client:
            assert stage.say(client, "VRFY @\xe9".encode()).endswith(b"@\\xe9\r\n")


def test_a_mistake_of_a_hook_that_takes_text_leaves_it_text() -> None:
    kinds: list[type] = []

    class Channel(smtpd_compat.SMTPChannel):
        def found_terminator(self) -> None:
            kinds.append(type(self.received_lines[0]))
            line = "".join(self.received_lines)
            self.received_lines = []
            if line == "XMISTAKE":
                line + b"octets"  # type: ignore[operator]
            self.push(f"250 {line}")

    with serving_with(Channel) as server:
        for _ in range(2):
            with connected(server) as client:
                assert client.say(b"HELLO") == b"250 HELLO\r\n"
                assert client.say(b"XMISTAKE").startswith(b"451 ")
                assert client.say(b"AGAIN") == b"250 AGAIN\r\n"
    assert kinds == [bytes] + [str] * 6


def test_half_a_character_at_the_end_of_a_line_is_that_lines_in_a_hook() -> None:
    class Channel(smtpd_compat.SMTPChannel):
        heard = ""

        def collect_incoming_data(self, data: Any) -> None:
            self.heard = self.heard + data

        def found_terminator(self) -> None:
            said, self.heard = self.heard, ""
            self.push("250 " + said)

    with serving_with(Channel) as server, connected(server) as client:
        assert client.say(b"hello") == b"250 hello\r\n"
        assert client.say(b"half \xc3") == b"250 half \\udcc3\r\n"
        assert client.say(b"\xa9 half") == b"250 \\udca9 half\r\n"


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


def test_hook_of_today_with_a_mistake_on_a_rare_branch_goes_on_getting_bytes() -> None:
    class Channel(smtpd_compat.SMTPChannel):
        def found_terminator(self) -> None:
            line = self.received_lines[0]
            if len(line) > 10:
                "long: " + line
            elif line.startswith(b"NOOP"):
                self.push("250 heard")
                self.received_lines = []
                return
            super().found_terminator()

    with serving_with(Channel) as server:
        with connected(server) as other, connected(server) as odd:
            assert odd.say(b"NOOP") == b"250 heard\r\n"
            odd.say(b"NOOP 1234567890")
            assert other.say(b"NOOP") == b"250 heard\r\n"
        with connected(server) as later:
            assert later.say(b"NOOP") == b"250 heard\r\n"


def test_hook_patched_into_the_channel_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = smtpd_compat.SMTPChannel.found_terminator

    def found_terminator(self: Any) -> None:
        self.received_lines = ["".join(self.received_lines)]
        original(self)

    with serving(KeepsData) as server:
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


def test_what_a_hook_of_one_channel_takes_is_not_what_its_class_takes() -> None:
    class Channel(smtpd_compat.SMTPChannel):
        channels = 0

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)

            def found_terminator() -> None:
                self.push("250 " + "".join(self.received_lines))
                self.received_lines = []

            if not Channel.channels:
                self.found_terminator = found_terminator  # type: ignore[method-assign]
            Channel.channels += 1

        def found_terminator(self) -> None:
            self.push("250 " + b"".join(self.received_lines).decode("ascii"))
            self.received_lines = []

    with serving_with(Channel) as server:
        for _ in range(3):
            with connected(server) as client:
                assert client.say(b"HELLO") == b"250 HELLO\r\n"


# Failures that are no reason to give text


class Threaded(KeepsData):
    worker_threads = 1

    def process_message(self, *args: Any, **kwargs: Any) -> None:
        super().process_message(*args, **kwargs)


def test_hook_that_hands_a_message_over_and_then_fails_on_bytes_is_not_run_again() -> (
    None
):
    class Channel(smtpd_compat.SMTPChannel):
        def found_terminator(self) -> None:
            lines = self.received_lines
            is_message = self.smtp_state == self.DATA
            super().found_terminator()
            if is_message:
                self.last = "".join(lines)

    with serving_with(Channel, Threaded) as server:
        for _ in range(2):
            with connected(server) as client:
                assert client.say(b"HELO me").startswith(b"250 ")
                assert deliver(client) == b"250 OK\r\n"
    assert server.messages == [b"Subject: x"] * 2


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


def test_a_type_error_of_a_collectors_own_is_no_reason_to_call_it_again() -> None:
    given: list[Any] = []

    class Collects(Channel):
        def collect_incoming_data(self, data: Any) -> None:
            given.append(data)
            raise TypeError("not today")

    with on_stage(Server) as stage:
        stage.server.channel_class = Collects
        with stage.connect() as client:
            assert stage.say(client, b"HELO x").startswith(b"421 ")
    assert given == [b"HELO x"]


def test_a_type_error_of_the_handler_is_not_the_hooks() -> None:
    """The handler is called again with text; the hook is not."""
    heard: list[Any] = []

    class Watched(smtpd_compat.SMTPChannel):
        def found_terminator(self) -> None:
            heard.append(b"".join(self.received_lines))
            super().found_terminator()

    class Joins(KeepsData):
        def process_message(self, *args: Any, **kwargs: Any) -> None:
            super().process_message(*args, **kwargs)
            "".join([args[3]])

    with serving_with(Watched, Joins) as server, connected(server) as client:
        assert client.say(b"HELO me").startswith(b"250 ")
        assert deliver(client) == b"250 OK\r\n"
        assert deliver(client) == b"250 OK\r\n"
    assert server.messages == [b"Subject: x", "Subject: x", "Subject: x"]
    assert heard.count(b"Subject: x") == 2


def test_a_mistake_of_the_handler_is_not_the_hooks() -> None:
    class Watched(smtpd_compat.SMTPChannel):
        def found_terminator(self) -> None:
            super().found_terminator()

    class Mistaken(KeepsData):
        def process_message(self, *args: Any, **kwargs: Any) -> None:
            super().process_message(*args, **kwargs)
            if len(self.messages) > 1:
                "".join([args[3]])

    with serving_with(Watched, Mistaken) as server, connected(server) as client:
        assert client.say(b"HELO me").startswith(b"250 ")
        assert deliver(client) == b"250 OK\r\n"
        assert deliver(client).startswith(b"451 ")
        assert deliver(client).startswith(b"451 ")
    assert server.messages == [b"Subject: x"] * 3


# Hooks that look at a line by way of something else


def conversation(channel: Any, server: Any = KeepsData) -> list[Any]:
    """Hold two conversations; the messages that were kept."""
    with serving_with(channel, server) as served:
        for _ in range(2):
            with connected(served) as client:
                assert client.say(b"HELO me").startswith(b"250 ")
                assert deliver(client) == b"250 OK\r\n"
    return served.messages  # type: ignore[no-any-return]


def lines_of(channel: Any) -> Any:
    return channel.received_lines


@pytest.mark.parametrize("name", WITH_TEXT)
def test_hook_that_does_with_a_line_what_only_text_lets_it(name: str) -> None:
    kinds: list[type] = []

    class Channel(smtpd_compat.SMTPChannel):
        def found_terminator(self) -> None:
            line = lines_of(self)[0]
            kinds.append(type(line))
            WITH_TEXT[name](line)
            super().found_terminator()

    assert conversation(Channel) == [b"Subject: x"] * 2
    assert kinds == [bytes] + [str] * 10


def test_hook_that_looks_at_a_line_by_its_own_helpers() -> None:
    class Channel(smtpd_compat.SMTPChannel):
        heard = ""

        def found_terminator(self) -> None:
            self.note()
            super().found_terminator()

        def note(self) -> None:
            self.heard = self.heard + self.line()

        def line(self) -> Any:
            return self.received_lines[0]

    assert conversation(Channel) == [b"Subject: x"] * 2


def test_hook_that_calls_a_command_of_its_own_with_a_line() -> None:
    class Channel(smtpd_compat.SMTPChannel):
        def found_terminator(self) -> None:
            line = self.received_lines[0]
            if line[:1] in ("X", b"X"):
                self.received_lines = []
                self.smtp_XSAY(line)
            else:
                super().found_terminator()

        def smtp_XSAY(self, arg: Any) -> None:
            self.push("250 " + arg.split(" ")[1])

    with serving_with(Channel) as server, connected(server) as client:
        assert client.say(b"XSAY hello") == b"250 hello\r\n"
        assert client.say(b"XSAY again") == b"250 again\r\n"


@pytest.mark.parametrize(
    "look", [lambda data: re.match("HELO", data), lambda data: data.encode("utf-8")]
)
def test_collector_that_looks_at_what_it_gets_by_a_function(look: Any) -> None:
    class Channel(smtpd_compat.SMTPChannel):
        def collect_incoming_data(self, data: Any) -> None:
            look(data)
            super().collect_incoming_data(data)

    assert conversation(Channel) == [b"Subject: x"] * 2


def test_collector_that_is_written_in_c() -> None:
    class Channel(smtpd_compat.SMTPChannel):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.heard = io.StringIO()
            self.collect_incoming_data = self.heard.write  # type: ignore[method-assign,assignment]

        def found_terminator(self) -> None:
            line = self.heard.getvalue()
            self.heard.seek(0)
            self.heard.truncate()
            self.push("250 " + line)

    with serving_with(Channel) as server:
        for _ in range(2):
            with connected(server) as client:
                assert client.say(b"hello") == b"250 hello\r\n"
                assert client.say(b"again") == b"250 again\r\n"


def test_error_of_somebody_elses_code_that_a_hook_calls_with_something_else() -> None:
    calls: list[Any] = []
    library: Any = types.ModuleType("library")
    exec("def audit(what):\n    return b'octets' + 'text'\n", vars(library))

    class Channel(smtpd_compat.SMTPChannel):
        def found_terminator(self) -> None:
            calls.append(self.received_lines[0])
            library.audit(len(calls))

    with serving_with(Channel) as server, connected(server) as client:
        assert client.say(b"NOOP").startswith(b"451 ")
        assert client.say(b"NOOP").startswith(b"451 ")
    assert calls == [b"NOOP"] * 2


# Hooks that read a line by the name that it had when it was text


class Compares(smtpd_compat.SMTPChannel):
    """Fails never, and finds nothing in bytes."""

    def found_terminator(self) -> None:
        if self._SMTPChannel__line == ["XHELLO"]:
            self.received_lines = []
            self.push("250 hello")
        else:
            super().found_terminator()


class Swallows(smtpd_compat.SMTPChannel):
    """Catches what it fails on, and goes on without it."""

    def found_terminator(self) -> None:
        try:
            line = "".join(self._SMTPChannel__line)
        except Exception:
            line = ""
        if line.startswith("XHELLO"):
            self._SMTPChannel__line = []
            self.push("250 hello")
        else:
            super().found_terminator()


class Collects(smtpd_compat.SMTPChannel):
    """Collects by itself."""

    def collect_incoming_data(self, data: Any) -> None:
        self._SMTPChannel__line.append(data)

    def found_terminator(self) -> None:
        line = self._SMTPChannel__line
        if line == ["XHELLO"]:
            line[:] = []
            self.push("250 hello")
        else:
            super().found_terminator()


class ReadsLate(smtpd_compat.SMTPChannel):
    """Reads no line before it has seen some."""

    lines = 0

    def found_terminator(self) -> None:
        self.lines += 1
        if self.lines > 1 and self._SMTPChannel__line == ["XHELLO"]:
            self.received_lines = []
            self.push("250 hello")
        else:
            super().found_terminator()


@pytest.mark.parametrize("channel", [Compares, Swallows, Collects, ReadsLate])
def test_hook_that_reads_a_line_by_its_old_name_gets_text(channel: Any) -> None:
    Fresh = type(channel.__name__, (channel,), {})
    assert conversation(Fresh) == [b"Subject: x"] * 2
    with serving_with(Fresh) as server:
        for _ in range(2):
            with connected(server) as client:
                assert client.say(b"NOOP") == b"250 OK\r\n"
                assert client.say(b"XHELLO") == b"250 hello\r\n"


def test_hook_that_reads_a_line_by_its_old_name_and_knows_that_it_is_bytes() -> None:
    """As of 3.6, when the names only warned."""
    kinds: list[type] = []

    class Channel(smtpd_compat.SMTPChannel):
        def collect_incoming_data(self, data: Any) -> None:
            self._SMTPChannel__line.append(data)

        def found_terminator(self) -> None:
            kinds.extend({type(piece) for piece in self._SMTPChannel__line})
            line = b"".join(self._SMTPChannel__line)
            if line[:6] == b"XHELLO":
                self.received_lines = []
                self.push("250 " + ascii(line[6:]))
            else:
                super().found_terminator()

    class FirstOfAll(Channel):
        pass

    with serving_with(FirstOfAll) as server, connected(server) as client:
        assert client.say(b"XHELLO\xff\xc3") == b"250 b'\\xff\\xc3'\r\n"
    kinds.clear()
    assert conversation(Channel) == [b"Subject: x"] * 2
    assert kinds == [str] + [bytes] * 10
    with serving_with(Channel) as server, connected(server) as client:
        assert client.say(b"XHELLO") == b"250 b''\r\n"


def test_hook_that_adds_bytes_to_a_line_that_it_reads_by_its_old_name() -> None:
    class Channel(smtpd_compat.SMTPChannel):
        def found_terminator(self) -> None:
            line = self._SMTPChannel__line
            line.append(b"!")
            self.push("250 " + b"".join(line).decode())
            self.received_lines = []

    with serving_with(Channel) as server, connected(server) as client:
        assert client.say(b"HELLO").startswith(b"250 HELLO!")
        assert client.say(b"WORLD") == b"250 WORLD!\r\n"


def test_what_reads_a_line_by_its_old_name_outside_of_hooks_changes_nothing() -> None:
    class Keeps(Channel):
        def found_terminator(self) -> None:
            self.push("250 kept")

    with on_stage(Server) as stage:
        stage.server.channel_class = Keeps
        with stage.connect() as client:
            assert stage.say(client, b"NOOP") == b"250 kept\r\n"
            assert stage.channels[0]._SMTPChannel__line == [b"NOOP"]
            assert stage.say(client, b"NOOP") == b"250 kept\r\n"
            assert stage.channels[0].received_lines == [b"NOOP", b"NOOP"]


def test_what_reads_half_a_line_by_its_old_name_outside_of_hooks_changes_nothing() -> (
    None
):
    class Collects(Channel):
        def collect_incoming_data(self, data: Any) -> None:
            super().collect_incoming_data(data)

    with on_stage(Server) as stage:
        stage.server.channel_class = Collects
        with stage.connect() as client:
            client.send(b"NO")
            stage.until(lambda: stage.channels[0].received_lines)
            assert stage.channels[0]._SMTPChannel__line == [b"NO"]
            client.send(b"OP")
            stage.until(lambda: len(stage.channels[0].received_lines) == 2)
            assert stage.channels[0].received_lines == [b"NO", b"OP"]
            assert stage.say(client, b"") == OK


def test_hook_assigned_on_a_channel_that_knows_that_a_line_is_bytes() -> None:
    kinds: list[type] = []

    class Channel(smtpd_compat.SMTPChannel):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)

            def found_terminator() -> None:
                line = self._SMTPChannel__line
                kinds.extend({type(piece) for piece in line})
                self.push("250 " + b"".join(line).decode())
                self.received_lines = []

            self.found_terminator = found_terminator  # type: ignore[method-assign]

    with serving_with(Channel) as server:
        for _ in range(2):
            with connected(server) as client:
                assert client.say(b"HELLO") == b"250 HELLO\r\n"
                assert client.say(b"WORLD") == b"250 WORLD\r\n"
    assert kinds == [str] + [bytes] * 4


class KeepsAfter(smtpd_compat.SMTPChannel):
    """Looks at the line by its old name, and keeps the piece elsewhere then."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.pieces: list[Any] = []
        super().__init__(*args, **kwargs)

    def collect_incoming_data(self, data: Any) -> None:
        super().collect_incoming_data(data)
        assert self._SMTPChannel__line
        self.pieces.append(data)

    def found_terminator(self) -> None:
        line, self.pieces = "".join(self.pieces), []
        if line == "XHELLO":
            self.received_lines = []
            self.push("250 hello")
        else:
            super().found_terminator()


class KeepsBefore(smtpd_compat.SMTPChannel):
    """Keeps each piece by the line's old name, as the original did."""

    def collect_incoming_data(self, data: Any) -> None:
        self._SMTPChannel__line.append(data)

    def found_terminator(self) -> None:
        if "".join(self._SMTPChannel__line) == "XHELLO":
            self.received_lines = []
            self.push("250 hello")
        else:
            super().found_terminator()


@pytest.mark.parametrize("channel", [KeepsAfter, KeepsBefore])
@pytest.mark.parametrize("cut", [0, 3])
def test_collector_that_reads_a_line_by_its_old_name_keeps_text_at_once(
    channel: Any, cut: int
) -> None:
    """What it is given in that very call is bytes still."""
    Fresh = type(channel.__name__, (channel,), {})
    with on_stage(Server) as stage:
        stage.server.channel_class = Fresh
        with stage.connect() as client:
            if cut:
                client.send(b"XHELLO"[:cut])
                stage.turn(3, timeout=0.01)
            assert stage.say(client, b"XHELLO"[cut:]) == b"250 hello\r\n"
            assert stage.say(client, b"NOOP") == b"250 OK\r\n"
            assert stage.say(client, b"XHELLO") == b"250 hello\r\n"


def test_command_that_reads_a_line_by_its_old_name_changes_nothing() -> None:
    class Channel(smtpd_compat.SMTPChannel):
        def smtp_XLINE(self, arg: Any) -> None:
            self.push(f"250 {self._SMTPChannel__line}")

        def found_terminator(self) -> None:
            kinds.append(type(self.received_lines[0]))
            super().found_terminator()

    kinds: list[type] = []
    with serving_with(Channel) as server, connected(server) as client:
        assert client.say(b"XLINE") == b"250 []\r\n"
        assert client.say(b"XLINE") == b"250 []\r\n"
    assert kinds == [bytes, bytes]
