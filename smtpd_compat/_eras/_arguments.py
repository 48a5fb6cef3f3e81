"""Call adapters: give handlers and classes the arguments that their signatures take.

A signature is read when its function is first called, and the result is kept.
"""

from __future__ import annotations

import weakref
from functools import partial
from types import CodeType, MethodType

from .._tracing import raised_in
from ._refusals import refuses_call

TYPE_CHECKING = bool()
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, MutableMapping
    from inspect import Parameter
    from typing import Any


class Plan:
    """Which of the current arguments a function gets, and in which place."""

    def __init__(
        self, by_position: list[str], by_name: dict[str, str], today: Iterable[str]
    ) -> None:
        self._by_position = by_position
        #: The names of current arguments, by those of its own parameters.
        self._by_name = by_name
        self.left_out = frozenset(today).difference(by_position, by_name.values())

    def choose(self, values: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Those of *values* that are given by position, and those by name."""
        return (
            [values[name] for name in self._by_position],
            {name: values[today] for name, today in self._by_name.items()},
        )


class Arguments:
    """The current arguments of a call, and a `Plan` for everything that is called.

    :param by_position: the names of those given by position.
    :param by_name: the names of those given by name.
    :param always: how many of *by_position* every era gave.  They are given by position
        whatever they are called.  The others are given to parameters that have their
        names, or that cannot do without a value.
    :param advise: called, once or more, with what does not take the current arguments.
    """

    def __init__(
        self,
        by_position: list[str],
        by_name: list[str],
        always: int,
        advise: Callable[[Any], None],
    ) -> None:
        self._by_position = by_position
        self._by_name = by_name
        self._names = by_position + by_name
        self._always = always
        self._advise = advise
        self.current = Plan(by_position, {n: n for n in by_name}, self._names)
        self.oldest = Plan(by_position[:always], {}, self._names)
        self._plans: MutableMapping[Any, tuple[CodeType | None, Plan]]
        self._plans = weakref.WeakKeyDictionary()

    def plan(self, target: Any) -> Plan:
        """How to call *target*; `current` if it has no signature to be read."""
        key = target.__func__ if type(target) is MethodType else target
        try:
            code, plan = self._plans[key]
            if code is constructor_code(key):
                return plan
        except (KeyError, TypeError):
            pass
        plan = self._make_plan(target)
        if plan is not self.current:
            self._advise(target)
        self._remember(key, plan)
        return plan

    def use_oldest(self, target: Any, refuser: Any) -> Plan:
        """From now on, give *target* only the arguments that every era gave.

        :param refuser: the function behind *target* that does not take more.
        """
        self._advise(refuser)
        key = target.__func__ if type(target) is MethodType else target
        self._remember(key, self.oldest)
        return self.oldest

    def _remember(self, key: Any, plan: Plan) -> None:
        try:
            self._plans[key] = constructor_code(key), plan
        except TypeError:  # not hashable, or not weakly referable: made every time
            pass

    def _make_plan(self, target: Any) -> Plan:
        import inspect

        try:
            # What it wraps does not count: it may be there to adapt just that.
            signature = inspect.signature(target, follow_wrapped=False)
        except (TypeError, ValueError):
            return self.current
        try:
            signature.bind(*self._by_position, **dict.fromkeys(self._by_name))
        except TypeError:
            return self._adapt(list(signature.parameters.values()))
        return self.current

    def _adapt(self, parameters: list[Parameter]) -> Plan:
        by_position: list[str] = []
        by_name: dict[str, str] = {}
        for index, parameter in enumerate(parameters):
            kind = parameter.kind
            positional = kind < parameter.KEYWORD_ONLY and len(by_position) == index
            if kind is parameter.VAR_POSITIONAL:
                if positional:
                    by_position += self._by_position[index:]
            elif kind is parameter.VAR_KEYWORD:
                by_name.update((n, n) for n in self._names if n not in by_position)
            else:
                name = self._argument_for(parameter, index)
                if name is None or name in by_position:
                    continue
                if positional:
                    by_position.append(name)
                elif kind is not parameter.POSITIONAL_ONLY:
                    by_name[parameter.name] = name
        return Plan(by_position, by_name, self._names)

    def _argument_for(self, parameter: Parameter, index: int) -> str | None:
        """The name of the argument for *parameter*, None to leave it its default."""
        if parameter.kind is parameter.KEYWORD_ONLY:
            return parameter.name if parameter.name in self._names else None
        if index < self._always:
            return self._names[index]
        if parameter.name in self._names[self._always :]:
            return parameter.name
        if parameter.default is parameter.empty and index < len(self._names):
            return self._names[index]
        return None


def accepts(target: Any, *args: Any) -> bool:
    """Whether *target* can be called with these; True if there is no way to know."""
    import inspect

    try:
        signature = inspect.signature(target)
    except (TypeError, ValueError):
        return True
    try:
        signature.bind(*args)
    except TypeError:
        return False
    return True


def constructor_code(target: Any) -> CodeType | None:
    """The code of a class's constructor, by which to see that it was replaced."""
    if not isinstance(target, type):
        return None
    return getattr(target.__init__, "__code__", None)  # type: ignore[misc]


_HAS_VAR_POSITIONAL = 4  # inspect.CO_VARARGS


def code_of(target: Any) -> CodeType | None:
    """The code that a call of *target* runs; None if it is not Python's."""
    while isinstance(target, partial):
        target = target.func
    constructor = constructor_code(target)
    for thing in (target, type(target).__call__):
        code = constructor or getattr(thing, "__code__", None)
        if isinstance(code, CodeType):  # PyPy's built-in functions have another kind
            return code
    return None


def is_opaque(target: Any) -> bool:
    """Whether *target*'s signature does not tell what it takes."""
    code = code_of(target)
    return code is None or bool(code.co_flags & _HAS_VAR_POSITIONAL)


def find_refuser(error: TypeError, target: Any, suspects: Iterable[str]) -> Any:
    """The function that would not take its arguments; None if *error* is no such.

    A signature such as ``(*args, **kwargs)`` tells nothing of what is behind it: the
    function that a decorator wraps, or another one of those called like *suspects*.

    :param error: caught by the function that called *target*.
    """
    trace = error.__traceback__ and error.__traceback__.tb_next
    if trace is None:  # *target* itself, of which inspect could not tell
        return target if "argument" in str(error) else None
    refuser = refuses_call(error)
    if refuser is None:
        return None
    caller = raised_in(error)
    if caller.f_code.co_flags & _HAS_VAR_POSITIONAL:
        for name in caller.f_code.co_freevars:
            wrapped = caller.f_locals.get(name)
            if getattr(wrapped, "__name__", None) == refuser:
                return wrapped
    return target if refuser in suspects else None
