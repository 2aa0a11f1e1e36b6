"""Facts about the machine of a run, one line each, for the report."""

import os
import platform
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_DISTRIBUTIONS = ("aio-pika", "celery", "dramatiq", "faststream", "Flask", "flup", "huey", "uvloop")


def described() -> Iterator[tuple[str, str]]:
    """Yield the name and the value of each fact."""
    yield "date", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    yield "machine", f"{os.cpu_count()} cores, {_processor()}"
    yield "system", f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    yield "libraries", ", ".join(f"{name} {_version(name)}" for name in _DISTRIBUTIONS)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed)"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()
