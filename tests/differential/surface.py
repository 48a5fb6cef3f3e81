"""What a copy of the module shows to programs: names, signatures, values.

Run as a program, it prints that of the original, for interpreters without one.
"""

from __future__ import annotations

import inspect
import json
import subprocess

from . import original
from .record import REPOSITORY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Surface = dict[str, Any]


_CLASSES = (
    "SMTPServer",
    "SMTPChannel",
    "DebuggingServer",
    "PureProxy",
    "MailmanProxy",
    "Devnull",
    "Options",
)

#: Of the interpreter, or of the warnings that the package has no use for.
_NOT_SHOWN = frozenset(
    [
        "__builtins__",
        "__cached__",
        "__doc__",
        "__file__",
        "__loader__",
        "__name__",
        "__package__",
        "__path__",
        "__spec__",
        "__warningregistry__",
        "_DEPRECATION_MSG",
        "_deprecated",
    ]
)


def of_original() -> Surface:
    """The original's, also where it is gone."""
    if original.HERE:
        return describe(original.load())
    interpreter = original.interpreter()
    assert interpreter is not None
    command = [interpreter, "-W", "ignore", "-m", __name__]
    done = subprocess.run(command, stdout=subprocess.PIPE, cwd=REPOSITORY, check=True)
    surface: Surface = json.loads(done.stdout)
    return surface


def describe(module: Any) -> Surface:
    """What *module* shows, in JSON's types.

    ``all``, ``names``: its names; ``values``: those that are text and
    numbers; ``classes``: by class and attribute, a signature as a list of parameters,
    or the attribute's kind.
    """
    return {
        "all": list(module.__all__),
        "names": sorted(set(dir(module)) - _NOT_SHOWN),
        "values": {
            name: value
            for name, value in vars(module).items()
            if isinstance(value, (str, int)) and name not in _NOT_SHOWN
        },
        "functions": {
            name: signature(getattr(module, name)) for name in ("usage", "parseargs")
        },
        "classes": {
            name: _describe_class(getattr(module, name))
            for name in _CLASSES
            if hasattr(module, name)
        },
        "bases": {
            name: [base.__name__ for base in getattr(module, name).__mro__]
            for name in _CLASSES
            if hasattr(module, name)
        },
    }


def _describe_class(cls: Any) -> dict[str, Any]:
    described: dict[str, Any] = {}
    for name in dir(cls):
        if name.startswith("__") and name != "__init__":
            continue
        attribute = inspect.getattr_static(cls, name)
        if attribute is object.__init__:  # a function on PyPy alone
            described[name] = "inherited"
        elif inspect.isfunction(attribute):
            described[name] = signature(attribute)
        elif isinstance(attribute, (str, int, type(None))):
            described[name] = repr(attribute)
        else:
            described[name] = type(attribute).__name__
    return described


def signature(function: Any) -> list[list[str]]:
    """Kind, name and default of each parameter."""
    return [
        [parameter.kind.name, parameter.name, _default(parameter)]
        for parameter in inspect.signature(function).parameters.values()
    ]


def _default(parameter: inspect.Parameter) -> str:
    if parameter.default is parameter.empty:
        return ""
    return repr(parameter.default)


if __name__ == "__main__":
    print(json.dumps(describe(original.load())))
