"""The contenders in the order of the report, with one file for each library. Its worker runs the same file."""

from importlib import import_module
from typing import cast

from benchmarks.contender import Contender

_FILES = {
    "bridge_flask": ("bridge-rabbitmq", "bridge-sqlite"),
    "celery_prefork": ("celery-quorum", "celery-classic", "celery-confirming"),
    "dramatiq_threads": ("dramatiq-quorum", "dramatiq-classic", "dramatiq-confirming"),
    "faststream_async": ("faststream-quorum", "faststream-classic"),
    "huey_sqlite": ("huey", "huey-fsync"),
}

NAMES = tuple(name for names in _FILES.values() for name in names)


def contender(name: str) -> Contender:
    """Return a contender. Import only its own library."""
    file = next(file for file, names in _FILES.items() if name in names)
    return cast("Contender", import_module(f"{__name__}.{file}").CONTENDERS[name])
