"""The names by which another process finds a function or class of a module: of those that it has registered itself."""

import sys
from pathlib import Path
from typing import Any

from bridge.errors import shown


def qualified_name(thing: Any, what: str) -> str:
    """Return `module.name` of a function or class. Raise `ValueError` for one that has no name of its own in a module,
    such as a lambda or a closure."""
    module, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    if not module or not name or "<" in name:
        raise ValueError(
            f"{what} {shown(name or thing)}: expected one that is defined in a module, so that every process has it by "
            f"one name: move it out of the function that it is in, and give it a name"
        )
    return f"{_module_name(module)}.{name}"


def _module_name(module: str) -> str:
    """Return the module's name. The module that was run as a program has the one by which the pool imports it."""
    if module != "__main__":
        return module
    main = sys.modules[module]
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    if spec is not None:
        return str(spec.name.removesuffix(".__main__"))
    return Path(file).stem if file else module
