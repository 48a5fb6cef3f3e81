"""docs/kept-as-it-is.md: the odd answers, and the lines there that change them."""

from __future__ import annotations

import email
import pathlib
import re
import socket
import types
from typing import Any
from unittest import mock

import pytest

import smtpd_compat as smtpd
from tests.support.serving import serving
from tests.support.talking import connected

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "kept-as-it-is.md"
_BLOCK = re.compile(r"^```(text|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="docs are not beside tests")


class Answers(smtpd.SMTPServer):
    """Says what its handler gets."""

    def process_message(
        self, peer: Any, mailfrom: str, rcpttos: list[str], data: Any, **kwargs: Any
    ) -> str:
        if data.startswith(b"answer with "):
            return data[12:].decode()  # type: ignore[no-any-return]
        return f"250 the handler gets mailfrom={mailfrom!r}"


def sections() -> list[tuple[str, list[str], str]]:
    """Heading, conversations and lines of Python of each section."""
    found = []
    if PAGE.exists():
        for section in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]:
            blocks = _BLOCK.findall(section)
            texts = [text for kind, text in blocks if kind == "text"]
            (lines,) = [text for kind, text in blocks if kind == "python"]
            found.append((section.partition("\n")[0], texts, lines))
    return found


CONVERSATIONS = [
    pytest.param(text, lines, id=f"{heading} {number}")
    for heading, texts, lines in sections()
    for number, text in enumerate(texts)
]


def last_reply(server: Any, text: str) -> str:
    """The last line of the reply to the last of the client's lines."""
    with serving(server) as served, connected(served) as client:
        for line in re.findall(r"^C: (.*)$", text, re.MULTILINE):
            client.send(line.encode() + b"\r\n")
            if not line.startswith("answer with "):
                reply = client.line().decode()
                while reply[3:4] == "-":
                    reply = client.line().decode()
    reply = reply.rstrip("\r\n")
    return reply[4:] if "the handler gets" in reply else reply


def changed(lines: str) -> Any:
    """The server that the page's lines make of `Answers`."""
    module: Any = types.ModuleType("page")
    module.smtpd = types.SimpleNamespace(
        SMTPServer=Answers, SMTPChannel=smtpd.SMTPChannel
    )
    exec(lines, vars(module))
    server = getattr(module, "Server", Answers)
    channel = getattr(module, "Channel", smtpd.SMTPChannel)
    return type("Changed", (server,), {"channel_class": channel})


@pytest.mark.parametrize(("text", "lines"), CONVERSATIONS)
def test_each_odd_answer_and_the_lines_that_change_it(
    text: str, lines: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getfqdn", lambda name="": "mx.example.com")
    (as_it_is,) = re.findall(r"^As it is: (.*)$", text, re.MULTILINE)
    (with_lines,) = re.findall(r"^With the lines: (.*)$", text, re.MULTILINE)
    assert last_reply(Answers, text) == as_it_is
    assert last_reply(changed(lines), text) == with_lines


def test_lines_that_listen_on_both_addresses_of_localhost() -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6")
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        pytest.skip("no ::1")
    (lines,) = [lines for heading, _, lines in sections() if heading == "`localhost`"]
    module: dict[str, Any] = {"smtpd": smtpd}
    exec(lines, module)
    listening = [server.socket.getsockname()[0] for server in module["servers"]]
    for server in module["servers"]:
        server.close()
    assert listening == ["127.0.0.1", "::1"]


def test_lines_for_8_bit_mail_in_programs_of_text(tmp_path: pathlib.Path) -> None:
    """Each of docs/eras.md fails as it is said there, and has a line that does not."""
    page = PAGE.with_name("eras.md").read_text(encoding="utf-8")
    table = page.partition("## 8-bit mail")[2]
    lines = re.findall(r"^\|[^|]*\|[^|]*\| `(.*)` \|$", table, re.MULTILINE)
    assert len(lines) == 4
    octets = b"Subject: x\n\ncaf\xc3\xa9 \xff\n"
    data = octets.decode("utf-8", "surrogateescape")
    path = tmp_path / "mail"
    client = mock.Mock()
    names: dict[str, Any] = {
        **{"email": email, "data": data, "client": client, "path": path},
        **{"mailfrom": "a@b.c", "rcpttos": ["d@e.f"]},
        **{"asynchat": mock.Mock(), "self": None, "text": "250 OK\r\n"},
    }

    body = email.message_from_string("Subject: x\n\ncaf\xe9\n").get_payload(decode=True)
    assert body != "caf\xe9\n".encode()
    message = eval(lines[0], names)
    assert message.get_payload(decode=True) == octets.partition(b"\n\n")[2]

    eval(lines[1], names)
    client.sendmail.assert_called_once_with("a@b.c", ["d@e.f"], octets)

    with pytest.raises(UnicodeEncodeError), open(path, "w", encoding="utf-8") as file:
        file.write(data)
    exec("with " + lines[2].replace(").write", ") as file: file.write"), names)
    assert path.read_bytes().replace(b"\r\n", b"\n") == octets

    with pytest.raises(TypeError):
        smtpd.asynchat.async_chat().push("250 OK\r\n")
    eval(lines[3], names)
    names["asynchat"].async_chat.push.assert_called_once_with(None, b"250 OK\r\n")


def test_the_page_has_an_answer_for_every_section() -> None:
    assert len(sections()) >= 11
    assert all(texts or heading == "`localhost`" for heading, texts, _ in sections())
