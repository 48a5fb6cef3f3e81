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
    if type(handler) is MethodType:
        owner = handler.__self__
        return handler.__func__, owner if isinstance(owner, type) else type(owner)
    kind = type(handler)
    if kind is not FunctionType:
        try:
            weakref.ref(handler)
            hash(handler)
        except TypeError:
            return kind, kind
    return handler, kind


KINDS = _Kinds()


#: The functions that have taken a message as it is given today, and for which class:
#: new code pays one look-up.  A plain dict of weak references is quicker to ask than a
#: WeakKeyDictionary.
_CURRENT: dict[ref[Any], ref[Any]] = {}


def is_current(method: MethodType) -> bool:
    """Whether *method* has taken a message as it is given today."""
    owner = _CURRENT.get(ref(method.__func__))
    return owner is not None and owner() is type(method.__self__)


def remember_current(handler: Any) -> None:
    """Keep that *handler* has taken a message as it is given today."""
    if type(handler) is MethodType:
        key = ref(handler.__func__, lambda gone: _CURRENT.pop(gone, None))
        _CURRENT[key] = ref(type(handler.__self__))
