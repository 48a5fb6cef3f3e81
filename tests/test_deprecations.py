"""Authors are told once, at the line that they can change."""

from __future__ import annotations

import functools
import warnings
from types import SimpleNamespace

import pytest

import smtpd_compat
from smtpd_compat import asynchat, asyncore
from smtpd_compat._eras import _calls
from smtpd_compat._eras._warnings import warn_at, warn_here, warn_of
from tests.support.handlers import OLD, give, handlers, opaque, polite, prefixed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

pytestmark = pytest.mark.usefixtures("heard")


class Thing:
    def __init__(self) -> None:
        """Does nothing."""

    def method(self) -> None:
        """Does nothing."""


def function() -> None:
    """Does nothing."""


# How often


def test_what_warn_of_and_warn_at_say_is_said_once(
    heard: list[warnings.WarningMessage],
) -> None:
    for warn in (warn_of, warn_at):
        for _ in range(2):
            warn(function, f"%s, by {warn.__name__}")
            warn(Thing(), f"%s, by {warn.__name__}")
    assert [str(warning.message) for warning in heard] == [
        f"tests.test_deprecations.{thing}, by {by}"
        for by in ("warn_of", "warn_at")
        for thing in ("function", "Thing")
    ]
    assert {warning.category for warning in heard} == {DeprecationWarning}


def test_warn_here_leaves_it_to_the_filters_how_often(
    heard: list[warnings.WarningMessage],
) -> None:
    for _ in range(2):
        warn_here("always")
    warnings.simplefilter("default")
    for _ in range(2):
        warn_here("once for a line")
    assert [str(warning.message) for warning in heard] == [
        "always",
        "always",
        "once for a line",
    ]


def test_a_filter_for_the_users_module_holds(
    heard: list[warnings.WarningMessage],
) -> None:
    warnings.filterwarnings("ignore", module="tests.test_deprecations")
    warn_here("here")
    warn_at(function, "%s at")
    warn_of(function, "%s of")
    assert heard == []


# Where


@pytest.mark.parametrize(
    "thing, code",
    [
        (function, function.__code__),
        (functools.partial(functools.partial(function)), function.__code__),
        (Thing, Thing.__init__.__code__),
        (Thing().method, Thing.method.__code__),
    ],
)
def test_warn_of_points_at_the_definition(
    thing: Any, code: Any, heard: list[warnings.WarningMessage]
) -> None:
    warn_of(thing, "%s")
    (warning,) = heard
    assert (warning.filename, warning.lineno) == (__file__, code.co_firstlineno)


@pytest.mark.parametrize(
    "warns",
    [
        pytest.param(lambda: smtpd_compat.EMPTYSTRING, id="warn_here"),
        pytest.param(lambda: _calls.every_interface(Thing), id="warn_at"),
        pytest.param(lambda: warn_of(len, "%s"), id="warn_of what is not Python's"),
    ],
)
def test_other_warnings_point_at_the_users_line_that_is_being_run(
    warns: Callable[[], object], heard: list[warnings.WarningMessage]
) -> None:
    warns()
    (warning,) = heard
    assert (warning.filename, warning.lineno) == (
        __file__,
        warns.__code__.co_firstlineno,
    )


def test_a_warning_of_an_import_points_at_the_import(
    heard: list[warnings.WarningMessage],
) -> None:
    from smtpd_compat import EMPTYSTRING

    assert EMPTYSTRING == ""
    assert {warning.filename for warning in heard} == {__file__}


def test_no_warning_points_into_asyncore_or_asynchat(
    heard: list[warnings.WarningMessage],
) -> None:
    """They may call straight what is written in C, such as a partial."""
    warn = functools.partial(warn_here, "said")
    asyncore.read(SimpleNamespace(handle_read_event=warn))
    chat = SimpleNamespace(initiate_send=warn)
    asynchat.async_chat.handle_write(chat)  # type: ignore[arg-type]
    assert [warning.filename for warning in heard] == [__file__] * 2


# Of handlers


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
    assert "tests.support.handlers.prefixed does not" in str(heard[0].message)


def test_warning_made_an_error_is_shown_and_the_handler_called(
    heard: list[warnings.WarningMessage],
) -> None:
    warnings.simplefilter("error")
    assert give(handlers.four) == OLD
    assert ["Handlers.four" in str(warning.message) for warning in heard] == [True]
