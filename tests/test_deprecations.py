"""Authors are told once, at the line that they can change."""

from __future__ import annotations

import functools
import warnings

import pytest

from tests.support.handlers import OLD, give, handlers, opaque, polite, prefixed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

pytestmark = pytest.mark.usefixtures("heard")


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
