"""The contenders, a file each, in the order of the report. Each file is also the module that its worker runs."""

from importlib import import_module
from typing import cast

from benchmarks.contender import Contender

_FILES = {
    "bridge_flask": ("bridge-rabbitmq", "bridge-sqlite"),
    "celery_prefork": ("celery-quorum", "celery-classic", "celery-confirming"),
    "dramatiq_threads": ("dramatiq", "dramatiq-confirming"),
    "huey_sqlite": ("huey", "huey-fsync"),
}

NAMES = tuple(name for names in _FILES.values() for name in names)


def contender(name: str) -> Contender:
    """Return a contender. Only its own library is imported."""
    file = next(file for file, names in _FILES.items() if name in names)
    return cast("Contender", import_module(f"{__name__}.{file}").CONTENDERS[name])
