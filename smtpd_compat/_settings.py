"""The settings that only this package's servers have, read with care."""

from __future__ import annotations

TYPE_CHECKING = bool()
if TYPE_CHECKING:
    from typing import Any

#: Octets that a message may have where nothing else is said (32 MiB).
DATA_SIZE_DEFAULT = 33554432


def look_up(thing: Any, name: str) -> Any:
    """The attribute *name* of somebody else's object, None if it cannot be had.

    An object with a ``__getattr__`` of its own may raise anything from there.
    """
    try:
        return getattr(thing, name, None)
    except Exception:  # noqa: BLE001
        return None


def setting(server: Any, name: str) -> float | None:
    """The number that *server* has as *name*; None for anything else.

    An old program's server may use one of these names for something else, and a mock of
    a server has every name.
    """
    try:
        value = getattr(server, name, None)
    except Exception:  # noqa: BLE001 - as in look_up, a call less
        return None
    # A mock can pass for an int in isinstance.
    return value if issubclass(type(value), (int, float)) else None
