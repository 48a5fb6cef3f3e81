"""The methods that the original calls in a session are those that are called here."""

from __future__ import annotations

import pytest

import smtpd_compat
from smtpd_compat import asynchat, asyncore
from tests.support.conversing import MESSAGE
from tests.support.serving import serving
from tests.support.talking import connected

from . import original

TYPE_CHECKING = bool()
if TYPE_CHECKING:
    from typing import Any

pytestmark = pytest.mark.skipif(
    not original.HERE, reason="this interpreter has no smtpd"
)

#: The connection ends in the turn of QUIT, not in one of its own.
LEFT_OUT = {"handle_write", "handle_write_event"}


def methods(*classes: type) -> list[str]:
    """The methods of *classes* that programs override."""
    found: dict[str, Any] = {}
    for cls in classes:
        found.update(vars(cls))
    return sorted(
        name
        for name, value in found.items()
        if callable(value) and not name.startswith(("__", "_SMTPChannel", "_smtpd"))
    )


def calls_of(name: str, module: Any, kind: str) -> int:
    """How often the method *name* of *module*'s *kind* is called in a session."""
    calls = []

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        return getattr(super(counts, self), name)(*args, **kwargs)

    counts: Any = type("Counts", (getattr(module, kind),), {name: counted})
    classes = {kind: counts}
    names: dict[str, Any] = {"process_message": lambda self, *args, **kwargs: None}
    if kind == "SMTPChannel":
        names["channel_class"] = counts
    server_class = classes.get("SMTPServer", module.SMTPServer)
    if name != "process_message":
        server_class = type("Server", (server_class,), names)
    with serving(server_class) as server, connected(server) as client:
        client.say(b"EHLO x")
        client.say(b"VRFY x")
        client.send(MESSAGE)
        client.replies(4)
        client.say(b"QUIT")
        client.rest()
    return len(calls)


@pytest.mark.parametrize(
    "name",
    methods(asyncore.dispatcher, asynchat.async_chat, smtpd_compat.SMTPChannel),
)
def test_those_methods_of_a_channel_are_called_that_the_original_calls(
    name: str,
) -> None:
    if not hasattr(original.load().SMTPChannel, name):
        pytest.skip("the original has no such method")
    theirs = calls_of(name, original.load(), "SMTPChannel") > 0
    ours = calls_of(name, smtpd_compat, "SMTPChannel") > 0
    assert ours == (theirs and name not in LEFT_OUT)


@pytest.mark.parametrize("name", methods(asyncore.dispatcher, smtpd_compat.SMTPServer))
def test_those_methods_of_a_server_are_called_that_the_original_calls(
    name: str,
) -> None:
    if not hasattr(original.load().SMTPServer, name):
        pytest.skip("the original has no such method")
    theirs = calls_of(name, original.load(), "SMTPServer") > 0
    assert (calls_of(name, smtpd_compat, "SMTPServer") > 0) == theirs
