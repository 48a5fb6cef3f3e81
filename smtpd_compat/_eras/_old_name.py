"""Under the old name: ``import smtpd`` finds this package."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec

import smtpd_compat

TYPE_CHECKING = bool()
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

_OLD_NAME = "smtpd"
_NAME = smtpd_compat.__name__


def install_as_smtpd() -> None:
    """Let ``import smtpd`` find this package, for code that cannot be edited.

    It is found also after somebody has taken it out of ``sys.modules``.  May be called
    again.

    :raises ImportError: if another module has been imported as ``smtpd`` already.
    """
    present = sys.modules.get(_OLD_NAME) or smtpd_compat
    # The package itself may have been imported anew meanwhile.
    if getattr(present, "__name__", None) != _NAME:
        raise ImportError(
            f"cannot install smtpd_compat as smtpd: {present!r} is imported already;"
            " call install_as_smtpd() before anything imports smtpd"
        )
    sys.modules[_OLD_NAME] = smtpd_compat
    finders: list[Any] = sys.meta_path
    if not any(type(finder).__qualname__ == _Finder.__qualname__ for finder in finders):
        finders.insert(0, _Finder())


class _Finder:
    """Finds the old name before the standard library's finders do.

    What fixtures and helpers take out of ``sys.modules``, to restore it or to import it
    afresh, would otherwise be the standard library's from then on, or nothing.
    """

    def find_spec(
        self, name: str, path: Any = None, target: Any = None
    ) -> ModuleSpec | None:
        if name != _OLD_NAME:
            return None
        return ModuleSpec(name, _Loader(), origin=smtpd_compat.__file__)  # type: ignore[arg-type]


class _Loader:
    """Loads nothing but the package, by its own name, if it was taken out too."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(_NAME)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec
