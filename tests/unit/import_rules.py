"""The import rules of the packages and of their rooms (sub-packages), as data and functions."""

import ast
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatch
from itertools import permutations
from pathlib import Path

from tests.unit.imports import Import, circles, imports_of

PACKAGES = {
    "bridge": {"bridge"},
    "app_adapter": {"app_adapter", "bridge"},
    "worker": {"worker", "bridge"},
    "dead_letter": {"dead_letter", "bridge"},
    "deferred_event_bridge": {"deferred_event_bridge", "app_adapter", "bridge.errors"},
}
"""Each package of the distribution, and the packages of the distribution that it may import. The last one only
re-exports names, but for the page."""

PAGE = "deferred_event_bridge/dashboard/"
PAGE_MAY = {
    "deferred_event_bridge",
    "app_adapter",
    "bridge",
    "dead_letter",
    "worker.control",
    "worker.history",
    "worker.operating",
}
"""The page is above the programs, because it acts by their code."""

FOR_ALL = "deferred_event_bridge.hidden_packages"
"""Every package may import this module, which itself imports no package of the distribution."""

BROKERS = ("rabbitmq", "sqlite")

ROOMS = {
    "bridge": ("local_database", "brokers", "publishing"),
    "bridge.brokers": ("contract", "any_broker"),
    "bridge.brokers.rabbitmq": (
        *("connection", "topology", "publishing", "consuming", "calling", "coordination", "logs", "operating"),
        *("mailboxes", "broker", "inspection"),
    ),
    "bridge.brokers.sqlite": (
        *("queues", "coordination", "calling", "mailboxes", "logs", "emptying", "broker", "inspection"),
    ),
    "worker": ("pool", "control", "slots", "events", "doctor", "operating", "moving", "history", "site", "bench"),
}
"""The rooms of a package, the lowest first. A room may not import a later room. `ROOF` has the rule for modules outside
rooms."""

ROOF = ("worker", "bridge.brokers", "bridge.brokers.rabbitmq", "bridge.brokers.sqlite")
"""Packages whose modules outside rooms are above all rooms. A room may not import them."""

# A library, and the only files that may import it.
BORDERS = {
    "aio_pika": ["bridge/brokers/rabbitmq/*"],
    "aiormq": ["bridge/brokers/rabbitmq/*"],
    "pamqp": ["bridge/brokers/rabbitmq/*"],
    "sqlite3": ["bridge/local_database/*", "bridge/brokers/sqlite/*"],
    "flup": ["app_adapter/flup_*.py"],
    "flask": ["app_adapter/*", "deferred_event_bridge/dashboard/*"],
    "werkzeug": ["app_adapter/*", "deferred_event_bridge/dashboard/*"],
    "jinja2": ["deferred_event_bridge/dashboard/*"],
    "itsdangerous": ["deferred_event_bridge/dashboard/*"],
    "waitress": ["deferred_event_bridge/dashboard/web_cli.py"],
    "blinker": ["app_adapter/*"],
    "dotenv": ["bridge/config/dot_env.py"],
    "watchfiles": ["worker/site/running.py"],
    "cronsim": ["bridge/schedule.py"],
    "pytest": ["deferred_event_bridge/pytest_plugin.py"],
    "sqlalchemy": ["app_adapter/sqlalchemy/*", "bridge/publishing/outbox/*"],
    "redis": ["bridge/publishing/sidekiq/*"],
    "prometheus_client": ["bridge/watchers/*"],
    "opentelemetry": ["bridge/watchers/*"],
    # The retry policy, and the retry of connections.
    "tenacity": ["bridge/retry_policy.py", "bridge/brokers/rabbitmq/connection/connecting.py"],
}

# All other files of `bridge` are pure: no I/O, no concurrency, no clock, no randomness. `uuid` is allowed, because it
# also parses and formats.
IMPURE_FILES = [
    *(
        "bridge/config/settings.py",
        "bridge/config/values.py",
        "bridge/config/settings_file.py",
        "bridge/config/dot_env.py",
        "bridge/logger.py",
        "bridge/looking.py",
    ),
    *("bridge/console/*", "bridge/local_database/*", "bridge/publishing/*", "bridge/brokers/*", "bridge/watchers/*"),
]
IMPURE = {
    *("asyncio", "concurrent", "logging", "multiprocessing", "os", "random", "secrets", "select", "selectors"),
    *("signal", "socket", "ssl", "subprocess", "threading", "time", "uvloop"),
}
CLOCK_READS = {"now", "utcnow", "today"}

# The pool only runs processes, and can run without a worker.
POOL_FORBIDDEN = ("bridge.attempt", "bridge.brokers", "bridge.envelope", "bridge.event", "bridge.queues")


def matches(file: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch(file, pattern) for pattern in patterns)


def package_breach(found: Import) -> str | None:
    """Check that a package imports only itself and `bridge`, and that `bridge` imports no other package."""
    home, other = found.file.split("/")[0], found.name.split(".")[0]
    allowed = PAGE_MAY if found.file.startswith(PAGE) else PACKAGES[home]
    if other in PACKAGES and not found.is_of(FOR_ALL) and not any(found.is_of(each) for each in allowed):
        return f"{found}: of the packages, {home} may import {', '.join(sorted(allowed))} only"
    if found.is_of("deferred_event_bridge.dashboard") and not found.file.startswith(PAGE):
        return f"{found}: only the page imports the page"
    if other == "bridge" and matches(found.file, ["bridge/fastcgi/*"]) and not found.is_of("bridge.fastcgi"):
        return f"{found}: bridge/fastcgi/ imports nothing outside itself"
    return None


def broker_breach(found: Import) -> str | None:
    """Check that the package of one broker imports nothing of another broker."""
    for home, other in permutations(BROKERS, 2):
        if found.file.startswith(f"bridge/brokers/{home}/") and found.is_of(f"bridge.brokers.{other}"):
            return f"{found}: one broker imports nothing of another"
    return None


def room_breach(found: Import) -> str | None:
    """Check that a room imports nothing of a higher room of its package, nor of the modules above all rooms."""
    for package, rooms in ROOMS.items():
        folder = package.replace(".", "/") + "/"
        if not found.file.startswith(folder) or not found.name.startswith(package + "."):
            continue
        home = found.file.removeprefix(folder).split("/")[0].removesuffix(".py")
        other = found.name.removeprefix(package + ".").split(".")[0]
        if home not in rooms:
            continue
        above = other not in rooms and package in ROOF
        if above or (other in rooms and rooms.index(other) > rooms.index(home)):
            return f"{found}: {folder}{home} imports nothing of {other}, which is above it"
    return None


def border_breach(found: Import) -> str | None:
    """Check that a library is imported only by its own files, so that an optional library is needed only there."""
    for library, places in BORDERS.items():
        if found.is_of(library) and not matches(found.file, places):
            return f"{found}: only {', '.join(places)} may"
    return None


def purity_breach(found: Import) -> str | None:
    """Check that a pure file of `bridge` imports no module that does I/O or reads a clock."""
    if (
        matches(found.file, ["bridge/*"])
        and not matches(found.file, IMPURE_FILES)
        and found.name.split(".")[0] in IMPURE
    ):
        return f"{found}: the file is pure"
    return None


def pool_breach(found: Import) -> str | None:
    """Check that the pool imports nothing about events, brokers or queues."""
    if matches(found.file, ["worker/pool/*"]) and any(found.is_of(module) for module in POOL_FORBIDDEN):
        return f"{found}: the pool imports nothing about events"
    return None


def slots_breach(found: Import) -> str | None:
    """Check that slots import nothing of the control sockets, which report the slots' status."""
    if matches(found.file, ["worker/slots/*"]) and found.is_of("worker.control"):
        return f"{found}: slots import nothing of control"
    return None


def clock_reads_of(tree: ast.AST, file: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CLOCK_READS:
            yield f"{file}:{node.lineno} reads the clock: {ast.unparse(node.func)}()"


RULES = (package_breach, broker_breach, room_breach, border_breach, purity_breach, pool_breach, slots_breach)


def sources(root: Path) -> Mapping[str, ast.AST]:
    paths = sorted(path for package in PACKAGES for path in (root / package).rglob("*.py"))
    files = {path.relative_to(root).as_posix(): path for path in paths}
    return {file: ast.parse(path.read_text(encoding="utf-8"), file) for file, path in files.items()}


def breaches(root: Path) -> list[str]:
    """Return all breaches in the packages under `root`, one line for each."""
    trees = sources(root)
    imports = {file: list(imports_of(tree, file)) for file, tree in trees.items()}
    judged = [rule(each) for found in imports.values() for each in found for rule in RULES]
    found = [breach for breach in judged if breach is not None]
    for file, tree in trees.items():
        if matches(file, ["bridge/*"]) and not matches(file, IMPURE_FILES):
            found.extend(clock_reads_of(tree, file))
    return found + [f"import circle: {circle}" for circle in circles(imports)]
