"""From the site's settings to a pool of our own, whichever program runs it."""

import os
from pathlib import Path

from bridge.settings import Values
from bridge.telemetry import log
from worker.control_socket import directory_of, socket_path
from worker.pool.recycling import Limits
from worker.pool.supervisor import Plan


def plan_of(values: Values) -> Plan:
    """Return what the pool should be."""
    limits = Limits(values.max_requests, values.max_age.total_seconds(), values.max_memory)
    return Plan(values.children, values.spare, values.preload, limits)


def control_path(values: Values) -> Path:
    """Return where this process answers `bridge-status`."""
    return socket_path(directory_of(values.control_directory), values.broker_url, values.namespace, os.getpid())


def child_said(pid: int, line: str) -> None:
    """Log a line that a child printed while nobody used it."""
    log.info("%s", line, extra={"child": pid})
