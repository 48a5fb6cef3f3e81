"""Who can be called with what, for arguments that today's and other eras give."""

from __future__ import annotations

import functools
import weakref

import pytest

from smtpd_compat._eras._arguments import (
    Arguments,
    Plan,
    accepts,
    code_of,
    find_refuser,
    is_opaque,
)
from tests.support.collecting import collect
from tests.support.handlers import opaque, polite, seen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: What is given today: two by position that every era gave, one more, one by name.
VALUES = {"a": 1, "b": 2, "size": 3, "extra": 4}


class Told(Arguments):
    """Keeps in ``advised`` what it advises on."""

    def __init__(self) -> None:
        self.advised: list[Any] = []
        super().__init__(["a", "b", "size"], ["extra"], 2, self.advised.append)

    def call(self, target: Any) -> Any:
        args, kwargs = self.plan(target).choose(VALUES)
        return target(*args, **kwargs)


class Today:
    def __init__(self, a: Any, b: Any, size: Any, extra: Any = None) -> None:
        self.given = seen(a, b, size, extra=extra)


class Two:
    def __init__(self, first: Any, second: Any) -> None:
        self.given = seen(first, second)

    def method(self, first: Any, second: Any) -> Any:
        return seen(first, second)


# Plans


@pytest.mark.parametrize(
    "target, given",
    [
        (lambda a, b: seen(a, b), ((1, 2), {})),
        (lambda size, extra: seen(size, extra), ((1, 2), {})),
        (lambda x=0, y=0: seen(x, y), ((1, 2), {})),
        (lambda x, y, z, size=0: seen(x, y, z, size=size), ((1, 2, 3), {"size": 0})),
        (lambda x, y, *, a=0: seen(x, y, a=a), ((1, 2), {"a": 0})),
        (lambda x, y, z: seen(x, y, z), ((1, 2, 3), {})),
        (lambda x, y, z=0: seen(x, y, z), ((1, 2, 0), {})),
        (lambda x, y, z=0, size=0: seen(x, y, z, size=size), ((1, 2, 0), {"size": 3})),
        (lambda x, y, extra: seen(x, y, extra=extra), ((1, 2), {"extra": 4})),
        (lambda x, *, b, extra: seen(x, b, extra=extra), ((1, 2), {"extra": 4})),
        (lambda *args: seen(*args), ((1, 2, 3), {})),
        (lambda a, *rest: seen(a, *rest), ((1, 2, 3), {})),
        (lambda a, b, **k: seen(a, b, **k), ((1, 2), {"size": 3, "extra": 4})),
        (functools.partial(lambda p, a, b: seen(p, a, b), 0), ((0, 1, 2), {})),
        (Two(5, 6).method, ((1, 2), {})),
    ],
)
def test_what_takes_less_or_other_things_is_given_what_it_takes(
    target: Callable[..., Any], given: Any
) -> None:
    arguments = Told()
    assert arguments.call(target) == given
    assert arguments.advised == [target]


@pytest.mark.parametrize(
    "target",
    [
        lambda a, b, size, extra: seen(a, b, size, extra=extra),
        lambda x, y, z, *, extra: seen(x, y, z, extra=extra),
        lambda *args, **kwargs: seen(*args, **kwargs),
        functools.partial(lambda *args, **kwargs: seen(*args, **kwargs)),
    ],
)
def test_what_takes_all_is_called_as_today(target: Callable[..., Any]) -> None:
    arguments = Told()
    assert arguments.plan(target) is arguments.current
    assert arguments.call(target) == ((1, 2, 3), {"extra": 4})
    assert arguments.advised == []


def test_a_class_is_called_as_its_constructor_takes_it() -> None:
    arguments = Told()
    assert arguments.call(Today).given == ((1, 2, 3), {"extra": 4})
    assert arguments.call(Two).given == ((1, 2), {})
    assert arguments.advised == [Two]


class Unknown:
    """Something of which `inspect` cannot tell what it takes."""

    __signature__ = "none"

    def __call__(self, *args: Any) -> None: ...


def test_what_nobody_can_tell_of_is_called_as_today() -> None:
    arguments = Told()
    assert arguments.plan(Unknown()) is arguments.current


@pytest.mark.parametrize(
    "target",
    [
        lambda a, b, size, extra, more: None,
        lambda a, b, c, d, e, f: None,
        lambda a, b, *, more: None,
    ],
)
def test_what_needs_more_than_is_given_today_says_so(target: Any) -> None:
    arguments = Told()
    with pytest.raises(TypeError, match="missing"):
        arguments.call(target)
    assert arguments.advised == [target]


def test_a_plan_tells_what_it_leaves_out() -> None:
    arguments = Told()
    assert arguments.current.left_out == set()
    assert arguments.plan(Two).left_out == {"size", "extra"}
    assert arguments.plan(lambda a, b, extra: None).left_out == {"size"}


def test_a_plan_gives_values_by_the_callees_names() -> None:
    plan = Plan(["b"], {"theirs": "a"}, ["a", "b", "size"])
    assert plan.choose(VALUES) == ([2], {"theirs": 1})
    assert plan.left_out == {"size"}


# What is remembered


def test_a_plan_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = Told()
    plans = [arguments.plan(target) for target in (Two, Two(5, 6).method)]
    monkeypatch.setattr("inspect.signature", None)
    assert [arguments.plan(target) for target in (Two, Two(7, 8).method)] == plans


def test_as_ever_is_what_every_era_gave_from_then_on() -> None:
    arguments = Told()

    def target(*args: Any, **kwargs: Any) -> Any:
        return seen(*args, **kwargs)

    assert arguments.plan(target) is arguments.current
    plan = arguments.use_oldest(target, "the refuser")
    assert plan.choose(VALUES) == ([1, 2], {})
    assert arguments.plan(target) is plan
    assert arguments.advised == ["the refuser"]


def test_a_class_with_another_constructor_is_looked_at_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments = Told()
    before = arguments.plan(Two)
    monkeypatch.setattr(Two, "__init__", Today.__init__)
    assert arguments.plan(Two) is arguments.current
    monkeypatch.undo()
    assert arguments.plan(Two).left_out == before.left_out


def test_what_is_remembered_is_not_kept_alive() -> None:
    arguments = Told()

    def target(a: Any, b: Any) -> None: ...

    arguments.plan(target)
    arguments.advised.clear()
    gone = weakref.ref(target)
    del target
    collect()
    assert gone() is None


# Signatures that tell nothing


def test_code_is_that_of_what_is_called_in_the_end() -> None:
    class Called:
        def __call__(self) -> None: ...

    assert code_of(seen) is seen.__code__
    assert code_of(functools.partial(functools.partial(seen, 1), 2)) is seen.__code__
    assert code_of(Two) is Two.__init__.__code__
    assert code_of(Two(5, 6).method) is Two.method.__code__
    assert code_of(Called()) is Called.__call__.__code__
    assert code_of(len) is None


@pytest.mark.parametrize(
    "target, opaque",
    [
        (lambda a, b: None, False),
        (lambda a, b, **kwargs: None, False),
        (Two, False),
        (lambda *args: None, True),
        (functools.partial(lambda *args, **kwargs: None, 1), True),
        (opaque(Two), True),
        (polite(Two), True),
        (len, True),
    ],
)
def test_a_signature_with_a_star_or_none_at_all_is_opaque(
    target: Any, opaque: bool
) -> None:
    assert is_opaque(target) is opaque


def refuser_of(target: Any, *suspects: str) -> Any:
    try:
        target(1, 2, 3, extra=4)
    except TypeError as error:
        return find_refuser(error, target, suspects)
    raise AssertionError("took it all")


def two(a: Any, b: Any) -> None:
    """Takes two."""


def no_keywords(*args: Any) -> None:
    """Takes any number, and no keywords."""


@pytest.mark.parametrize("inner", [two, no_keywords])
@pytest.mark.parametrize("decorate", [opaque, polite])
def test_the_function_that_a_decorator_wraps_is_found(
    decorate: Any, inner: Any
) -> None:
    assert refuser_of(decorate(inner)) is inner
    assert refuser_of(decorate(decorate(inner))) is inner


@pytest.mark.parametrize("target", [two, no_keywords])
def test_what_refuses_by_itself_is_found(target: Any) -> None:
    assert refuser_of(target) is target


def test_a_base_class_that_refuses_stands_behind_what_was_called() -> None:
    class Derived(Two):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)

    assert refuser_of(Derived, "__init__") is Derived
    assert refuser_of(Derived, "process_message") is None


def test_a_type_error_of_other_things_is_no_refusal() -> None:
    def adds(*args: Any, **kwargs: Any) -> Any:
        return args[0] + "text"

    def measures(*args: Any, **kwargs: Any) -> Any:
        return len(5)  # type: ignore[arg-type]

    assert refuser_of(adds, "adds") is None
    assert refuser_of(opaque(measures), "measures") is None


def test_a_function_with_a_mistake_in_a_call_of_its_own_wraps_nothing() -> None:
    def helper(a: Any) -> None: ...

    def audit(a: Any) -> None:
        helper(a, "too much")  # type: ignore[call-arg]

    def target(*args: Any, **kwargs: Any) -> None:
        audit(args[0])

    assert refuser_of(target, "process_message") is None


@pytest.mark.parametrize(
    "target, expected",
    [
        (lambda a: None, False),
        (lambda a, b: None, True),
        (lambda *args: None, True),
        (functools.partial(lambda a, b, c: None, 1), True),
        (type, True),  # of which inspect cannot tell
        (Unknown(), True),
    ],
)
def test_accepts_tells_whether_a_call_would_be_refused(
    target: Any, expected: bool
) -> None:
    assert accepts(target, 1, 2) is expected
