"""What handlers take for the message, `bytes` or `str`, as far as it is known."""

from __future__ import annotations

import weakref
from functools import partial
from types import FunctionType, MethodType
from weakref import ref

TYPE_CHECKING = bool()
if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from typing import Any


class _Kinds:
    """For each function, and for each class that has it as its method.

    For what a method takes may depend on what others of its class do with it.
    """

    def __init__(self) -> None:
        self._kinds: MutableMapping[Any, MutableMapping[type, type]]
        self._kinds = weakref.WeakKeyDictionary()

    def get(self, handler: Any) -> type | None:
        """What *handler* takes; None if it has not taken a message yet."""
        function, owner = _function_and_class(handler)
        kinds = self._kinds.get(function)
        return None if kinds is None else kinds.get(owner)

    def remember(self, handler: Any, kind: type) -> None:
        """Keep that *handler* takes *kind*."""
        function, owner = _function_and_class(handler)
        if function not in self._kinds:
            self._kinds[function] = weakref.WeakKeyDictionary()
        self._kinds[function][owner] = kind


def _function_and_class(handler: Any) -> tuple[Any, type]:
    while type(handler) is partial:
        handler = handler.func
    function, owner = handler, type(handler)
    if type(handler) is MethodType:
        function, me = handler.__func__, handler.__self__
        owner = me if isinstance(me, type) else type(me)
    if type(function) is not FunctionType:
        try:
            ref(function)
            hash(function)
        except TypeError:
            function = type(function)
    return function, owner


KINDS = _Kinds()


#: The functions that have taken a message as it is given today, and for which class:
#: new code pays one look-up.  A plain dict of weak references is quicker to ask than a
#: WeakKeyDictionary.
_CURRENT: dict[ref[Any], ref[Any]] = {}


def is_current(method: MethodType) -> bool:
    """Whether *method* has taken a message as it is given today."""
    function = method.__func__
    if type(function) is not FunctionType:
        return False
    owner = _CURRENT.get(ref(function))
    return owner is not None and owner() is type(method.__self__)


def remember_current(handler: Any) -> None:
    """Keep that *handler* has taken a message as it is given today.

    Not of a class method: `is_current` does not look for which class it is one.
    """
    if (
        type(handler) is MethodType
        and type(handler.__func__) is FunctionType
        and not isinstance(handler.__self__, type)
    ):
        key = ref(handler.__func__, lambda gone: _CURRENT.pop(gone, None))
        _CURRENT[key] = ref(type(handler.__self__))
