"""The machine that a run was made on, in one line each: absolute figures mean nothing without it."""

import os
import platform
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

_DISTRIBUTIONS = ("aio-pika", "celery", "dramatiq", "Flask", "flup", "huey", "uvloop")


def described(rabbitmq: str) -> Iterator[tuple[str, str]]:
    """Yield what it is and what it says."""
    yield "date", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    yield "machine", f"{os.cpu_count()} cores, {_processor()}"
    yield "system", f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    yield "RabbitMQ", f"{rabbitmq}, one private node on the same machine"
    yield "libraries", ", ".join(f"{name} {version(name)}" for name in _DISTRIBUTIONS)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()
