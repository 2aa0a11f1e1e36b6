"""The search for modules that hide a package of the distribution. The package names are generic: an app's own
`bridge.py` is imported instead of the package `bridge` if the app's directory comes first on Python's path.

This file imports no other package of the distribution, because it must work if they cannot be imported.
"""

import importlib.util
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""The directory that contains the packages of the distribution."""

IN_APP = ("app_adapter", "bridge")
"""The packages that the app's own processes import."""

PACKAGES = (*IN_APP, "dead_letter", "worker")


@dataclass(frozen=True, slots=True)
class HiddenPackage:
    """A package of the distribution, and the file or directory that is imported in its place."""

    name: str
    by: Path

    def __str__(self) -> str:
        return f"{self.by} hides the package {self.name!r} of deferred-event-bridge, which is in {ROOT}"

    @property
    def remedy(self) -> str:
        """The action that solves the problem, for messages."""
        return "rename it, or keep its directory from coming first on Python's path (PYTHONPATH, the working directory)"


def hidden_packages(names: Iterable[str], path: Sequence[str] | None = None) -> list[HiddenPackage]:
    """Return the packages with these names that are hidden for an import from the directories `path`, by default from
    Python's path in this process."""
    found = ((name, _found(name, path)) for name in names)
    return [HiddenPackage(name, by) for name, by in found if by is not None and by.parent != ROOT]


def check(names: Iterable[str]) -> None:
    """Raise `ImportError` if a package with one of these names is hidden in this process."""
    for hidden in hidden_packages(names):
        raise ImportError(f"{hidden}: {hidden.remedy}", name=hidden.name, path=str(hidden.by))


def _found(name: str, path: Sequence[str] | None) -> Path | None:
    """Return the directory of the package, or the file of the module, that an import finds; None if it finds none."""
    try:
        spec = importlib.util.find_spec(name) if path is None else PathFinder.find_spec(name, path)
    except ValueError:  # a loaded module without `__spec__`
        return None
    return None if spec is None else _place(spec)


def _place(spec: ModuleSpec) -> Path | None:
    if spec.submodule_search_locations is None:
        return None if spec.origin is None else Path(spec.origin).resolve()
    directories = [Path(location).resolve() for location in spec.submodule_search_locations]
    return next((directory for directory in directories if any(directory.glob("*.py"))), None)
