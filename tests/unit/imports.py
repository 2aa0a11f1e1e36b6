"""Find the imports in source files, and import circles among modules. The modules are not executed.

A module that is named in a string (`python -m …`, importlib) is not found. Child processes are started that way.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path


@dataclass(frozen=True)
class Import:
    """One imported name in full: `from a.b import c` is `a.b.c`, since c may be a module. `lazy` is True for an import
    in a function, which is executed when the function is called."""

    file: str
    line: int
    name: str
    lazy: bool

    def is_of(self, module: str) -> bool:
        """Return whether the import is of this module, or of a name or module in it."""
        return self.name == module or self.name.startswith(module + ".")

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.name}"


def imports_of(tree: ast.AST, file: str, *, lazy: bool = False) -> Iterator[Import]:
    """Yield the imports in the syntax tree of a module. `file` is its path, relative to the root of the packages."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (Import(file, node.lineno, alias.name, lazy) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, file)
            yield from (Import(file, node.lineno, ".".join([*base, alias.name]), lazy) for alias in node.names)
        else:
            inner = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from imports_of(node, file, lazy=lazy or inner)


def _base(node: ast.ImportFrom, file: str) -> list[str]:
    package = list(Path(file).parent.parts)
    above = package[: len(package) - node.level + 1] if node.level else []
    return [*above, node.module] if node.module else above


def module_of(file: str) -> str:
    """Return the module name of a file such as `a/b.py` or `a/__init__.py`."""
    parts = Path(file).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def circles(imports: Mapping[str, Iterable[Import]]) -> Iterator[str]:
    """Yield the import circles at module level among these files, each as `a > b > a`. Each found circle is cut at one
    import before the search continues."""
    modules = {module_of(file) for file in imports}
    graph = {
        module_of(file): {target for each in found if not each.lazy for target in _targets(each, modules)}
        for file, found in imports.items()
    }
    for module in graph:
        graph[module].discard(module)
    while True:
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            circle = error.args[1]  # each module in this list imports the module before it
            yield " > ".join(reversed(circle))
            graph[circle[1]].discard(circle[0])
        else:
            return


def _targets(found: Import, modules: set[str]) -> Iterator[str]:
    """Yield the module that an import names, if it is one of these: the longest matching name."""
    parts = found.name.split(".")
    names = (".".join(parts[:length]) for length in (len(parts), len(parts) - 1))
    yield from list(filter(modules.__contains__, names))[:1]
