"""What this interpreter says where text and bytes meet, or arguments are too many."""

from __future__ import annotations

import io

import pytest

from smtpd_compat._eras._refusals import (
    is_of_other_kind,
    refuses_call,
    refuses_options,
)
from tests.support.mixing import WITH_BYTES, WITH_TEXT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@pytest.mark.parametrize("name", WITH_TEXT)
def test_this_python_says_that_bytes_are_taken_for_text(name: str) -> None:
    with pytest.raises((TypeError, AttributeError)) as caught:
        WITH_TEXT[name](b"Subject: x")
    assert is_of_other_kind(caught.value, bytes)


@pytest.mark.parametrize("name", WITH_BYTES)
def test_this_python_says_that_text_is_taken_for_bytes(name: str) -> None:
    with pytest.raises((TypeError, AttributeError)) as caught:
        WITH_BYTES[name]("Subject: x")
    assert is_of_other_kind(caught.value, str)


@pytest.mark.parametrize(
    "mistake",
    [
        lambda: len(5),  # type: ignore[arg-type]
        lambda: "mails: " + 5,  # type: ignore[operator]
        lambda: (lambda: None)(5),  # type: ignore[call-arg,misc]
        lambda: None + 5,  # type: ignore[operator]
        lambda: "text".decode(),  # type: ignore[attr-defined]
        lambda: b"bytes".nothing(),  # type: ignore[attr-defined]
        lambda: None.decode(),  # type: ignore[attr-defined]
        lambda: io.BytesIO().encode(),  # type: ignore[attr-defined]
    ],
)
def test_another_mistake_says_nothing_of_bytes(mistake: Any) -> None:
    with pytest.raises((TypeError, AttributeError)) as caught:
        mistake()
    assert not is_of_other_kind(caught.value, bytes)


@pytest.mark.parametrize(
    "mistake",
    [
        lambda: (5).decode(),  # type: ignore[attr-defined]
        lambda: b"bytes".encode(),  # type: ignore[attr-defined]
        lambda: "text".nothing(),  # type: ignore[attr-defined]
    ],
)
def test_another_mistake_says_nothing_of_text(mistake: Any) -> None:
    with pytest.raises(AttributeError) as caught:
        mistake()
    assert not is_of_other_kind(caught.value, str)


class Handlers:
    def four(self, peer: Any, mailfrom: Any, rcpttos: Any, data: Any) -> None: ...

    def fifth(self, a: Any, b: Any, c: Any, data: Any, rcpt_options: Any) -> None: ...


@pytest.mark.parametrize(
    "options",
    [
        {"mail_options": [], "rcpt_options": []},
        {"mail_options": []},
        {"rcpt_options": []},
    ],
)
def test_this_python_says_that_options_are_not_taken(options: Any) -> None:
    with pytest.raises(TypeError) as caught:
        Handlers().four(1, 2, 3, 4, **options)
    assert refuses_options(caught.value)
    assert refuses_call(caught.value) == "four"
    with pytest.raises(TypeError) as caught:
        set().union([], **options)
    assert refuses_options(caught.value)


def test_this_python_says_that_arguments_are_too_many() -> None:
    with pytest.raises(TypeError) as caught:
        Handlers().four(*range(9))  # type: ignore[call-arg]
    assert refuses_call(caught.value) == "four"


def test_another_type_error_refuses_no_call() -> None:
    error = TypeError("object of type 'int' has no len()")
    assert refuses_call(error) is None
    assert not refuses_options(error)


@pytest.mark.parametrize(
    ("said", "refuser"),
    [
        ("handler() got 2 unexpected keyword arguments", "handler"),
        ("Server.handler() got an unexpected keyword argument 'map'", "handler"),
        ("__init__() takes 4 positional arguments but 8 were given", "__init__"),
    ],
)
def test_what_other_pythons_say_of_arguments(said: str, refuser: str) -> None:
    assert refuses_call(TypeError(said)) == refuser


@pytest.mark.parametrize(
    "said",
    [
        "sequence item 0: expected str, bytes found",
        "unsupported operand type(s) for +: 'str' and 'bytes'",
        "'str' does not support the buffer interface",
        "Unicode-objects must be encoded before hashing",
    ],
)
def test_what_other_pythons_say_of_bytes(said: str) -> None:
    assert is_of_other_kind(TypeError(said), str)
    assert is_of_other_kind(TypeError(said), bytes)
