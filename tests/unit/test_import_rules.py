"""Who may import whom: the packages' borders, read from the imports in the sources. Nothing is imported here.

A module named in a string (`python -m …`, importlib) is not seen: that is how a child process is started.
"""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("bridge", "app_adapter", "worker", "dead_letter")

# A library, and the only files that may import it.
BORDERS = {
    "aio_pika": ["bridge/brokers/rabbitmq/*"],
    "aiormq": ["bridge/brokers/rabbitmq/*"],
    "pamqp": ["bridge/brokers/rabbitmq/*"],
    "sqlite3": ["bridge/brokers/sqlite/*", "bridge/brokers/spool/*"],
    "flup": ["app_adapter/app_server.py"],
    "flask": ["app_adapter/*"],
    # The policy, and where a connection is retried.
    "tenacity": ["bridge/retry_policy.py", "bridge/brokers/*/connection.py", "worker/transport.py"],
}

# Pure: no I/O, no concurrency, no clock, no randomness. `uuid` stays: it also reads and formats.
IMPURE_FILES = ["bridge/settings.py", "bridge/telemetry.py", "bridge/brokers/*"]
IMPURE = {
    *(
        "asyncio",
        "concurrent",
        "logging",
        "multiprocessing",
        "os",
        "random",
        "secrets",
        "select",
        "selectors",
        "signal",
    ),
    *("socket", "ssl", "subprocess", "threading", "time", "uvloop"),
}
CLOCK_READS = {"now", "utcnow", "today"}

# The pool runs processes, and can run alone.
POOL_FORBIDDEN = {
    *("bridge.attempt", "bridge.brokers", "bridge.envelope", "bridge.event", "bridge.queues"),
    *("worker.consumer", "worker.replay", "worker.slots"),
}


@dataclass(frozen=True)
class Import:
    """One imported name, in full: `from a.b import c` is `a.b.c`, for c may be a module or not."""

    file: str
    line: int
    name: str

    def is_of(self, module: str) -> bool:
        return self.name == module or self.name.startswith(module + ".")

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.name}"


def imports_of(tree: ast.AST, file: str) -> Iterator[Import]:
    package = list(Path(file).parent.parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(file, node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = [*above, node.module] if node.module else above
            yield from (Import(file, node.lineno, ".".join([*base, alias.name])) for alias in node.names)


def clock_reads_of(tree: ast.AST, file: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CLOCK_READS:
            yield f"{file}:{node.lineno} reads the clock: {ast.unparse(node.func)}()"


def matches(file: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch(file, pattern) for pattern in patterns)


def package_breach(found: Import) -> str | None:
    """The packages are processes: three that know `bridge`, and `bridge`, which knows none of them."""
    home = found.file.split("/")[0]
    other = found.name.split(".")[0]
    if other in PACKAGES and other not in (home, "bridge"):
        return f"{found}: {home} may import {'no other package' if home == 'bridge' else 'bridge alone'}"
    if other == "bridge" and matches(found.file, ["bridge/fastcgi/*"]) and not found.is_of("bridge.fastcgi"):
        return f"{found}: bridge/fastcgi/ imports nothing outside itself"
    return None


def border_breach(found: Import) -> str | None:
    """Each foreign library has one place where it is met."""
    for library, places in BORDERS.items():
        if found.is_of(library) and not matches(found.file, places):
            return f"{found}: only {', '.join(places)} may"
    return None


def purity_breach(found: Import) -> str | None:
    """What the packages share decides and does not act."""
    if (
        matches(found.file, ["bridge/*"])
        and not matches(found.file, IMPURE_FILES)
        and found.name.split(".")[0] in IMPURE
    ):
        return f"{found}: the file is pure"
    return None


def pool_breach(found: Import) -> str | None:
    """The pool knows no event, broker, replay or slot."""
    if matches(found.file, ["worker/pool/*"]) and any(found.is_of(module) for module in POOL_FORBIDDEN):
        return f"{found}: the pool knows processes only"
    return None


RULES = (package_breach, border_breach, purity_breach, pool_breach)


def breaches(root: Path) -> list[str]:
    """All breaches in the four packages under `root`, a line each."""
    found: list[str] = []
    for path in sorted(path for package in PACKAGES for path in (root / package).rglob("*.py")):
        file = path.relative_to(root).as_posix()
        tree = ast.parse(path.read_text(encoding="utf-8"), file)
        verdicts = (rule(imported) for imported in imports_of(tree, file) for rule in RULES)
        found.extend(verdict for verdict in verdicts if verdict is not None)
        if matches(file, ["bridge/*"]) and not matches(file, IMPURE_FILES):
            found.extend(clock_reads_of(tree, file))
    return found


def test_the_sources_keep_the_import_rules() -> None:
    """No file of the four packages imports what its place forbids."""
    assert breaches(ROOT) == []


FORGERIES = [
    ("bridge/event.py", "import worker.slots", "bridge may import no other package"),
    ("worker/replay.py", "from app_adapter.receiver import Receiver", "worker may import bridge alone"),
    ("dead_letter/cli.py", "def f():\n    import worker", "dead_letter may import bridge alone"),
    ("bridge/fastcgi/records.py", "from bridge import errors", "imports nothing outside itself"),
    ("bridge/fastcgi/records.py", "from ..errors import BridgeError", "imports nothing outside itself"),
    ("bridge/brokers/sqlite/ledger.py", "import aio_pika.abc", "only bridge/brokers/rabbitmq/* may"),
    ("dead_letter/redrive.py", "import sqlite3", "only bridge/brokers/sqlite/*, bridge/brokers/spool/* may"),
    ("app_adapter/receiver.py", "from flup.server import fcgi", "only app_adapter/app_server.py may"),
    ("worker/cli.py", "import flask", "only app_adapter/* may"),
    ("worker/replay.py", "from tenacity import retry", "may"),
    ("bridge/settlement.py", "from time import monotonic", "the file is pure"),
    ("bridge/fastcgi/connection.py", "import asyncio", "the file is pure"),
    ("bridge/ledger.py", "from os import path", "the file is pure"),
    ("bridge/attempt.py", "import datetime as d\nstarted = d.datetime.now()", "reads the clock"),
    ("worker/pool/child.py", "from bridge.event import Event", "the pool knows processes only"),
    ("worker/pool/child.py", "from ..slots import Slots", "the pool knows processes only"),
    ("worker/pool/supervisor.py", "import bridge.brokers.opening", "the pool knows processes only"),
]


@pytest.mark.parametrize(("file", "source", "complaint"), FORGERIES)
def test_a_breach_is_found(tmp_path: Path, file: str, source: str, complaint: str) -> None:
    """Each rule finds a breach of it, and says in which file and line."""
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(source)

    found = breaches(tmp_path)

    assert len(found) == 1
    assert found[0].startswith(f"{file}:")
    assert complaint in found[0]


ALLOWED = [
    ("bridge/brokers/rabbitmq/connection.py", "import aio_pika, asyncio\nfrom tenacity import wait_random"),
    ("bridge/brokers/sqlite/ledger.py", "import sqlite3\nfrom .schema import create\nfrom bridge.ledger import Entry"),
    ("bridge/settings.py", "import os"),
    ("bridge/fastcgi/connection.py", "from bridge.fastcgi.records import Record\nfrom .states import State"),
    (
        "app_adapter/app_server.py",
        "import flask\nfrom flup.server.fcgi import WSGIServer\nfrom app_adapter.receiver import X",
    ),
    ("worker/pool/supervisor.py", "import asyncio\nfrom bridge.errors import BridgeError\nfrom .child import Child"),
]


@pytest.mark.parametrize(("file", "source"), ALLOWED)
def test_what_is_allowed_is_no_breach(tmp_path: Path, file: str, source: str) -> None:
    """The rules let the designed imports through."""
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(source)

    assert breaches(tmp_path) == []
