"""Programs of every era, run as they stand: tests for each row of the table.

The programs are in tests/eras/programs.  Each runs in a process of its own, where
``import smtpd`` finds this package, and real clients talk to it.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import itertools
import os
import pathlib
import shutil
import smtplib
import ssl
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from .eras.programs_running import HERE, PROGRAMS, Running, running
from .eras.table import LEFT_OUT, outcome, rows
from .functional.processes import COMMAND, server_process
from .support.talking import Client
from .support.upstream import upstream

SENDER = "ann@example.com"
RECIPIENTS = ["bob@example.com", "eve@example.com"]
MESSAGE = b"From: ann@example.com\r\nSubject: greetings\r\n\r\n> hello\r\nbye"

FOUR = "does not take mail_options and rcpt_options"
FEWER = "does not take all the arguments that a channel has had"
UNNOTED = "accepts a greeting and does not note it"
TEXT = "takes what it is given for str"


def smtp(address: Any) -> smtplib.SMTP:
    """A client that does not wait for ever."""
    return smtplib.SMTP(*address, timeout=20)


def send(address: Any, message: bytes = MESSAGE) -> None:
    """Send a mail by EHLO, or by HELO where that is not known."""
    with smtp(address) as client:
        assert client.sendmail(SENDER, RECIPIENTS, message) == {}


@contextlib.contextmanager
def refused(code: int) -> Iterator[None]:
    """The client is refused something, with *code*."""
    with pytest.raises(smtplib.SMTPResponseException) as caught:
        yield
    assert caught.value.smtp_code == code


def advice(program: Running) -> list[tuple[str, str]]:
    """What the program was told: the line that it was told of, and the text."""
    told = []
    for filename, line, text in program.warnings:
        source = (PROGRAMS / filename).read_text(encoding="utf-8")
        told.append((source.splitlines()[line - 1].strip(), text))
    return told


def assert_advised(program: Running, *expected: tuple[str, str]) -> None:
    """There was one warning for each of *expected*: start of the line, part of text."""
    told = advice(program)
    assert len(told) == len(expected), told
    for (line, text), (start, part) in zip(told, expected):
        assert line.startswith(start)
        assert part in text


HANDLER = ("def process_message(self, ", FOUR)


def test_process_message_of_four_arguments_with_names_of_their_own_gets_text() -> None:
    with running("four_arguments") as program:
        send(program.address)
        send(program.address)
    said = [
        "from ann@example.com to bob@example.com, eve@example.com",
        "subject: greetings",
        "quoted: hello",
    ]
    assert program.printed == said + said
    assert_advised(program, HANDLER)
    assert "__main__.MailSink.process_message" in program.warnings[0][2]


def test_fifth_argument_of_somebodys_own_keeps_its_default() -> None:
    with running("fifth_argument") as program:
        send(program.address)
    assert program.printed == ["2 lines of header, decoded: False"]
    assert_advised(program, HANDLER)


def test_message_as_text_loses_no_octet() -> None:
    with running("every_byte") as program:
        send(program.address, b"Subject: x\r\n\r\n" + bytes(range(32, 256)))
    assert program.printed == [bytes(range(32, 256)).hex()]


def test_decorated_handler_of_four_arguments_is_told_of_at_its_own_line() -> None:
    with running("decorated") as program:
        send(program.address)
        send(program.address)
    said = ["mail from ann@example.com, From: ann@example.com", "handled"]
    assert program.printed == said + said
    assert_advised(program, ("@logged", FOUR))
    assert "__main__.Server.process_message" in program.warnings[0][2]


def test_message_that_a_handler_with_keywords_takes_for_text() -> None:
    with running("text_with_keywords") as program:
        send(program.address)
        send(program.address)
    assert program.printed == ["ann@example.com: greetings"] * 2
    assert_advised(program, ("def process_message(self, ", "the message for str"))


def test_message_that_a_handler_of_four_arguments_takes_for_octets() -> None:
    with running("octets") as program:
        send(program.address)
        send(program.address)
    digest = hashlib.md5(MESSAGE.replace(b"\r\n", b"\n")).hexdigest()
    assert program.printed == [f"ann@example.com {digest}"] * 2
    assert_advised(
        program, HANDLER, ("def process_message(self, ", "the message for bytes")
    )


def test_accept_of_ones_own_that_knows_that_somebody_waits() -> None:
    with running("own_accept") as program:
        send(program.address)
        send(program.address)
    said = ["connection %d from 127.0.0.1", "mail from ann@example.com"]
    assert program.printed == [said[0] % 1, said[1], said[0] % 2, said[1]]
    assert_advised(program, HANDLER)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_process_for_each_client() -> None:
    with running("process_for_each") as program:
        for _ in range(3):
            with Client(program.address) as client:  # leaves without QUIT
                assert client.reply().startswith(b"220 ")
            send(program.address)
    assert program.printed == ["mail from ann@example.com"] * 3


def test_empty_host_is_every_interface() -> None:
    with running("every_interface") as program:
        send(program.address)
    assert program.printed == ["bound to 0.0.0.0", "mail from ann@example.com"]
    assert_advised(
        program, ('smtpd.SMTPServer.__init__(self, ("", port), None)', "''"), HANDLER
    )


def test_channel_of_three_arguments_opened_by_the_server_itself() -> None:
    with running("three_argument_channel") as program:
        with Client(program.address) as client:
            assert client.reply().startswith(b"220 ")
            assert client.say(b"NOOP") == b"250 that makes 1\r\n"
            assert client.say(b"NOOP") == b"250 that makes 2\r\n"
        send(program.address)
    assert program.printed == ["mail from ann@example.com"]
    assert_advised(program, HANDLER)


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("three", ["channel for 127.0.0.1", "mail from ann@example.com"]),
        ("four", ["limit 1000", "mail from ann@example.com"]),
        ("five", ["mail from ann@example.com, 2 sockets"]),
    ],
)
def test_channel_class_gets_as_many_arguments_as_it_accepts(
    name: str, printed: list[str]
) -> None:
    with running("channel_class_of_" + name) as program:
        send(program.address)
        send(program.address)
    assert program.printed == printed + printed
    assert_advised(program, ("def __init__(self, server, ", FEWER), HANDLER)


def test_channel_of_four_arguments_keeps_to_the_limit() -> None:
    with running("channel_class_of_four") as program, refused(552):
        send(program.address, b"x" * 1001)


def test_overridden_handle_accept_opens_its_own_channels() -> None:
    with running("handle_accept") as program:
        send(program.address)
    assert program.printed == [
        "connect from 127.0.0.1",
        "127.0.0.1: From: ann@example.com",
    ]
    assert_advised(program, HANDLER)


def test_private_names_are_read_and_assigned() -> None:
    with running("private_names", options=()) as run, Client(run.address) as client:
        client.reply()
        for line in (b"HELO me", b"MAIL FROM:<a@b.c>", b"RCPT TO:<x@y.z>", b"DATA"):
            client.say(line)
        assert client.say(b"Subject: x\r\n.") == b"250 OK\r\n"
        client.say(b"RSET")
        client.say(b"MAIL FROM:<d@e.f>")
        client.say(b"RCPT TO:<x@y.z>")
    first, second = run.printed[:10], run.printed[10:]
    assert first == [
        "state 0",
        "sender a@b.c",
        "peer 127.0.0.1",
        "conn is mine: True",
        "addr 127.0.0.1",
        "greeted as me",
        "server Server",
        "line [], data ''",
        "named: True",
        "rewritten@example.com -> postmaster@example.com",
    ]
    assert second[1] == "sender d@e.f"
    told = advice(run)
    names = "state mailfrom peer conn addr greeting server line data fqdn rcpttos"
    for (_, text), name in zip(told, names.split()):
        assert f"Access to __{name} attribute on SMTPChannel is deprecated" in text
    assert "Setting __mailfrom attribute" in told[11][1]
    assert len(told) == 13  # each of these lines is told of once, and the handler


def test_subclass_named_smtpchannel_that_does_the_work_of_init_itself() -> None:
    with running("channel_named_alike") as program:
        with Client(program.address) as client:
            assert client.reply() == b"220 mx.example.com ready\r\n"
        send(program.address)
    assert program.printed == [
        "bob@example.com, 1 so far",
        "eve@example.com, 2 so far",
        "ann@example.com -> ['bob@example.com', 'eve@example.com']",
    ]
    assert ("self.__greeting = 0", "Setting __greeting attribute") in [
        (line, text[: len("Setting __greeting attribute")])
        for line, text in advice(program)
    ]


def test_getaddr_in_overridden_mail_and_rcpt() -> None:
    with running("getaddr", options=()) as program, smtp(program.address) as client:
        assert client.helo()[0] == 250
        assert client.docmd("MAIL", "TO:<a@b.c>")[0] == 501
        assert client.mail(SENDER) == (250, b"Ok")
        assert client.rcpt("eve@example.org") == (
            550,
            b"not here: eve@example.org",
        )
        assert client.rcpt("bob@example.com") == (250, b"Ok")
        assert client.data(MESSAGE) == (250, b"OK")
    assert program.printed == ["ann@example.com -> bob@example.com"]
    parsed = [line for line, text in advice(program) if "__getaddr()" in text]
    assert parsed == [
        "sender = self._SMTPChannel__getaddr('FROM:', arg)",
        "address = self._SMTPChannel__getaddr('TO:', arg)",
    ]


def test_replies_pushed_as_bytes() -> None:
    with running("push_bytes") as program, Client(program.address) as client:
        client.reply()
        assert client.say(b"XVERSION") == b"250-one\r\n250 two\r\n"
        assert client.say(b"HELO me") == b"250 pleased to meet you\r\n"
        assert client.say(b"MAIL FROM:<a@b.c>") == b"250 OK\r\n"
    assert_advised(
        program,
        ("self.push(b'250-one')", "__main__.Channel pushes a reply as bytes"),
        ("def smtp_HELO(self, arg):", UNNOTED),
    )


def test_overridden_mail_and_rcpt_that_set_no_options() -> None:
    with running("own_mail_and_rcpt") as program:
        send(program.address)
        send(program.address)
    said = (
        "ann@example.com -> ['bob@example.com', 'eve@example.com']"
        " [('mail_options', []), ('rcpt_options', [])]"
    )
    assert program.printed == [said, said]
    assert program.warnings == []


def test_overridden_ehlo_that_notes_no_greeting_and_added_auth() -> None:
    with running("own_ehlo") as program, smtp(program.address) as client:
        client.login("ann", "secret")
        client.sendmail(SENDER, RECIPIENTS, MESSAGE)
    assert program.printed == ["ann logs in", "mail from ann@example.com"]
    assert_advised(program, ("def smtp_EHLO(self, arg):", UNNOTED), HANDLER)


def test_greeting_and_found_terminator_of_ones_own() -> None:
    with running("own_terminator_and_ehlo", options=()) as program:
        with smtp(program.address) as client:
            client.ehlo("me")
            assert client.docmd("NOOP") == (530, b"log in first")
            client.login("ann", "secret")
            client.sendmail(SENDER, RECIPIENTS, MESSAGE)
        with smtp(program.address) as client:
            client.login("eve", "secret")
            client.sendmail(SENDER, RECIPIENTS, MESSAGE)
    said = "%s sends for ann@example.com"
    assert program.printed == [said % "ann", said % "eve"]
    assert UNNOTED in str(advice(program))


def test_line_that_is_read_by_its_old_name_is_text() -> None:
    with running("line_by_old_name", options=()) as program:
        for _ in range(2):
            with smtp(program.address) as client:
                client.ehlo("me")
                client.sendmail(SENDER, RECIPIENTS, MESSAGE)
    assert program.printed == ["greeted by me", "mail from ann@example.com"] * 2
    told = [text for line, text in advice(program) if line.startswith("def found_te")]
    assert len(told) == 1
    assert TEXT in told[0]


def test_lines_that_a_helper_looks_at_with_functions_of_re() -> None:
    with running("patterns") as program:
        send(program.address)
        send(program.address)
    said = ["a recipient", "a recipient", "mail from ann@example.com"]
    assert program.printed == said * 2
    assert_advised(program, HANDLER, ("def found_terminator(self):", TEXT))


def test_extensions_that_an_ehlo_of_ones_own_announces() -> None:
    with running("own_extensions") as program, smtp(program.address) as client:
        client.sendmail(SENDER, RECIPIENTS, MESSAGE, ["BODY=8BITMIME"])
    assert program.printed == ["mail from ann@example.com"]
    assert program.warnings == []


def test_replies_sent_as_text() -> None:
    with running("send_text") as program, Client(program.address) as client:
        client.reply()
        assert client.say(b"HELO me") == b"250 pleased to meet me\r\n"
        assert client.say(b"NOOP") == b"250 nothing done\r\n"
        assert client.say(b"MAIL FROM:<a@b.c>") == b"250 OK\r\n"
    assert_advised(
        program,
        ("self.send(", "__main__.Channel sends text"),
        ("def smtp_HELO(self, arg):", UNNOTED),
    )


def test_overridden_found_terminator_that_joins_lines_as_text() -> None:
    with running("login_dialogue", options=()) as program:
        for _ in range(2):
            with smtp(program.address) as client:
                client.ehlo("me")
                assert client.docmd("AUTH", "LOGIN") == (334, b"VXNlcm5hbWU=")
                assert client.docmd("YW5u") == (334, b"UGFzc3dvcmQ=")
                assert client.docmd("c2VjcmV0") == (235, b"welcome")
                client.sendmail(SENDER, RECIPIENTS, MESSAGE)
    said = ["Username: ann", "Password: secret", "mail from ann@example.com"]
    assert program.printed == said + said
    told = [text for line, text in advice(program) if line.startswith("def found_te")]
    assert len(told) == 1
    assert "LoginChannel.found_terminator " + TEXT in told[0]


def test_lines_that_a_subclass_keeps_and_joins_by_itself() -> None:
    with running("own_lines") as program, Client(program.address) as client:
        client.reply()
        for line in (b"HELO me", b"MAIL FROM:<a@b.c>", b"RCPT TO:<d@e.f>", b"DATA"):
            client.say(line)
        client.send("Subject: caf\xe9\r\n".encode()[:-3])
        assert client.say(b"\xa9\r\n.") == b"250 OK\r\n"
    assert program.printed == [
        "C: HELO me",
        "C: MAIL FROM:<a@b.c>",
        "C: RCPT TO:<d@e.f>",
        "C: DATA",
        "C: Subject: caf\xe9",
        "mail from a@b.c",
    ]
    assert_advised(program, ("def found_terminator(self):", TEXT), HANDLER)


def test_lines_that_a_subclass_takes_apart_as_text() -> None:
    with running("text_dialogue", options=()) as program:
        with Client(program.address) as client:
            client.reply()
            assert client.say(b"XSUM 20 and 22") == b"250 42\r\n"
            assert client.say(b"NOOP") == b"250 OK\r\n"
        with Client(program.address) as client:
            client.reply()
            assert client.say(b"XSUM 1 and 2") == b"250 3\r\n"
        send(program.address)
    assert program.printed == ["mail from ann@example.com"]
    assert_advised(program, ("def found_terminator(self):", TEXT), HANDLER)


def test_buffer_of_text_that_a_subclass_adds_to() -> None:
    with running("own_buffer") as program:
        send(program.address)
        send(program.address)
    said = ["mail from ann@example.com", "leaving"]
    assert program.printed == said + said
    assert_advised(program, ("def collect_incoming_data(self, data):", TEXT), HANDLER)


def test_collected_lines_that_a_subclass_decodes() -> None:
    with running("decoding_collector") as program:
        send(program.address)
    assert program.printed == ["mail from ann@example.com"]
    assert_advised(program, HANDLER)


def test_constants_of_2_7() -> None:
    with running("old_constants", options=()) as program:
        send(program.address)
    assert program.printed == ["From: ann@example.com, ann@example.com"]
    told = {text for line, text in advice(program) if "EMPTYSTRING" in line}
    assert told == {"EMPTYSTRING is gone from smtpd since Python 3.5, write ''"}


def test_socket_methods_of_servers_and_channels() -> None:
    with running("getsockname") as program, Client(program.address) as client:
        client.reply()
        assert client.say(b"XPEER") == b"250 127.0.0.1\r\n"
    assert program.printed == ["listening on 127.0.0.1"]
    assert_advised(
        program,
        ("print(", "Server.getsockname is deprecated, use Server.socket.getsockname"),
        ('self.push("250 " + self.getpeername()[0])', "Channel.getpeername"),
    )


def test_reply_texts_are_those_of_3_6() -> None:
    with running("getsockname") as program, Client(program.address) as client:
        client.reply()
        unknown = b'500 Error: command "XYZZY" not recognized\r\n'
        assert client.say(b"XYZZY") == unknown
        assert client.say(b"RSET") == b"250 OK\r\n"


@pytest.mark.parametrize("module", ["old_name", "old_name_and_loop", "new_name"])
def test_class_of_two_arguments_on_the_command_line(module: str) -> None:
    name = f"tests.eras.classes.{module}.Printer"
    with server_process("-n", "-d", "-c", name, command=COMMAND) as server:
        send((server.host, server.port))
        ended = server.stop()
    assert ended.stdout.splitlines() == [
        "one module: True",
        "ann@example.com: greetings",
    ]
    assert "Printer started at " in ended.stderr, "the debug stream of the package"
    assert "Printer heard 5 lines\n" in ended.stderr, "the debug stream of the class"


def test_class_of_two_arguments_keeps_to_the_limit_of_the_command_line() -> None:
    options = ("-n", "-s1000", "-c", "tests.eras.classes.old_name.Printer")
    with server_process(*options, command=COMMAND) as server, refused(552):
        send((server.host, server.port), b"x" * 1001)


# What programs do beside the rows of the table


@pytest.mark.parametrize("message", [MESSAGE, b"Subject: caf\xc3\xa9 \xff\r\n\r\nx"])
def test_relay_with_a_process_message_of_its_own(message: bytes) -> None:
    with upstream() as server, running("own_relay", server.address[1]) as program:
        send(program.address, message)
        with pytest.raises(smtplib.SMTPDataError, match="no spam"):
            send(program.address, b"Subject: BUY NOW\r\n\r\nx")
    assert program.printed == ["refused: {}"]
    (relayed,) = server.messages
    assert relayed.data == b"X-Filtered: yes\r\n" + message + b"\r\n"
    assert_advised(program, HANDLER)


def test_relay_with_a_deliver_of_its_own() -> None:
    with upstream() as server, running("own_deliver", server.address[1]) as program:
        send(program.address)
    assert program.printed == ["logging in, 6 lines"]
    assert server.messages[0].rcpttos == RECIPIENTS
    assert program.warnings == []


def test_reply_of_a_handler_that_holds_crlf_goes_out_untouched() -> None:
    with running("lmtp_replies") as program, Client(program.address) as client:
        client.reply()
        client.say(b"LHLO me")
        client.say(b"MAIL FROM:<a@b.c>")
        client.say(b"RCPT TO:<d@e.f>")
        client.say(b"RCPT TO:<g@h.i>")
        client.say(b"DATA")
        assert client.say(b".") == b"250 kept for d@e.f\r\n"
        assert client.reply() == b"250 kept for g@h.i\r\n"
    assert_advised(program, HANDLER)


def test_classes_stream_and_version_assigned_from_outside() -> None:
    with running("patched_from_outside") as program:
        with Client(program.address) as client:
            assert client.reply().endswith(b" Postmaster 1.0\r\n")
        with smtp(program.address) as client:
            client.ehlo("me")
            assert client.esmtp_features == {"size": "1000"}
            client.sendmail(SENDER, RECIPIENTS, MESSAGE)
    assert "mail from ann@example.com" in program.printed
    traced = {line for line in program.printed if line.startswith("trace ")}
    assert traced > {"trace Peer:", "trace Data:", "trace ===>", "trace SMTPServer"}
    assert [text.split()[0] for _, text in advice(program)] == [
        "__main__.smtp_EHLO",
        "__main__.process_message",
    ]


def test_overridden_listen_and_a_server_closed_by_its_handler() -> None:
    with running("listen_and_close") as program:
        send(program.address)
        assert program.process.wait(timeout=20) == 0
    assert program.printed == ["listen", "mail from ann@example.com", "done"]


def test_server_in_a_thread_that_ends_when_it_is_closed() -> None:
    with running("in_a_thread") as program:
        send(program.address)
        send(program.address)
        assert program.process.wait(timeout=20) == 0
    assert program.printed == ["2 messages, the first Subject: greetings"]
    assert_advised(program, HANDLER)


def test_server_that_listens_by_itself() -> None:
    with running("own_listening") as program:
        send(program.address)
    assert program.printed == ["mail from ann@example.com"]
    assert_advised(program, HANDLER)


def test_channel_initialised_twice_greets_twice_and_works() -> None:
    with running("initialised_twice") as program, Client(program.address) as client:
        banners = client.replies(2)
        assert [banner[:4] for banner in banners] == [b"220 ", b"220 "]
        for line in (b"HELO me", b"MAIL FROM:<a@b.c>", b"RCPT TO:<d@e.f>"):
            assert client.say(line).startswith(b"250 ")
        client.say(b"DATA")
        assert client.say(b".") == b"250 OK\r\n"
    assert program.printed == ["mail from a@b.c"]


def test_starttls_that_wraps_the_socket() -> None:
    certificate = HERE / "self_signed.pem"
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False
    with running("starttls", certificate) as program, smtp(program.address) as client:
        assert client.starttls(context=context) == (220, b"go ahead")
        client.sendmail(SENDER, RECIPIENTS, MESSAGE)
    assert program.printed == ["TLS", "mail from ann@example.com"]


def test_program_of_today_hears_nothing() -> None:
    with running("of_today", options=("-W", "error")) as program:
        send(program.address)
    assert program.printed == [
        *("33554432", "ehlo", "mail", "rcpt", "rcpt", "data", "From"),
        *("bytes ['mail_options', 'rcpt_options']", "QUIT"),
    ]
    assert program.errors == ""


@pytest.mark.parametrize(
    "name",
    [
        "four_arguments",
        "decorated",
        "every_interface",
        "channel_class_of_three",
        "private_names",
        "channel_named_alike",
        "getaddr",
        "push_bytes",
        "own_ehlo",
        "own_lines",
        "own_buffer",
        "getsockname",
    ],
)
def test_warnings_made_errors_are_shown_and_no_mail_is_refused(name: str) -> None:
    with running(name, options=("-W", "error::DeprecationWarning")) as program:
        send(program.address)
    assert advice(program)


@pytest.mark.parametrize("name", [path.stem for path in PROGRAMS.glob("*.py")])
def test_program_says_of_which_era_it_is(name: str) -> None:
    first = (PROGRAMS / (name + ".py")).read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith(("# 2.7", "# 3."))


def _python_2_7() -> str | None:
    """An interpreter 2.7 with the module; sought in PATH and where pyenv keeps it."""
    pyenv = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    pattern = os.path.join(pyenv, "versions", "2.7.*", "bin", "python2.7")
    for candidate in [shutil.which("python2.7"), *glob.glob(pattern)]:
        if candidate and not subprocess.call([candidate, "-c", "import smtpd"]):
            return candidate
    return None


def test_programs_of_2_7_run_on_python_2_7() -> None:
    python = _python_2_7()
    if python is None:
        pytest.skip("no Python 2.7")
    programs = [path for path in PROGRAMS.glob("*.py") if path.stem not in LEFT_OUT]
    of_2_7 = {
        path.stem
        for path in programs
        if path.read_text(encoding="utf-8").startswith("# 2.7")
    }
    taken = {name for name in of_2_7 if outcome(name, python, "smtpd") == "mail taken"}
    assert taken == of_2_7


ERAS = pathlib.Path(__file__).parents[1] / "docs" / "eras.md"


@pytest.mark.skipif(
    sys.version_info[:2] != (3, 11) or sys.implementation.name != "cpython",
    reason="the table's Python is CPython 3.11",
)
@pytest.mark.skipif(not ERAS.exists(), reason="docs/eras.md is not beside the tests")
def test_the_table_of_eras_is_what_happens() -> None:
    text = ERAS.read_text(encoding="utf-8")
    table = text.partition("| Program |")[2].partition("\n\n")[0].splitlines()[2:]
    for said, row in itertools.zip_longest(table, rows(sys.executable)):
        assert said == "| " + " | ".join(row) + " |"
