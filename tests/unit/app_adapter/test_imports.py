"""Modules that an app's process does not import before it needs them. Every web process would pay for each import."""

import subprocess
import sys

import pytest

APP = "from flask import Flask; from app_adapter import DeferredEvents; DeferredEvents(Flask('shop'))"
BROKERS = {"aio_pika", "aiormq", "sqlite3"}
OF_WORKERS = {"bridge.outcome", "bridge.moments", "bridge.rates"}
"""Many small classes, each of which takes a third of a millisecond to make."""
HEAVY = {
    "asyncio",
    "tenacity",
    "rich",
    "uvloop",
    "bridge.child_protocol",
    "app_adapter.deferred_signals.codecs",
    *OF_WORKERS,
    *BROKERS,
}


@pytest.mark.parametrize("program", [f"{APP}", "import deferred_event_bridge"])
def test_an_app_is_made_without_publishers_and_brokers(program: str) -> None:
    """They are imported at the first `defer()` to a broker."""
    assert imported(program) == set()


def test_an_app_with_a_spool_is_made_with_what_writes_to_it() -> None:
    """The first `defer()` has its whole budget then. A broker is imported meanwhile."""
    with_a_spool = imported(f"import os; os.environ['BRIDGE_PUBLISH'] = 'spool'; {APP}")
    assert with_a_spool - OF_WORKERS == {"asyncio", "sqlite3", "tenacity"}


def test_a_child_boots_without_brokers() -> None:
    """The child can serve before it defers an event."""
    assert imported("import app_adapter.app_server") & (BROKERS | OF_WORKERS) == set()


def test_an_import_is_noticed() -> None:
    """A program that imports a heavy module makes the check fail."""
    assert imported("import sqlite3") == {"sqlite3"}


def imported(program: str) -> set[str]:
    """Return the heavy modules that a program imports."""
    look = f"{program}\nimport sys\nprint(*({HEAVY!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-P", "-c", look], capture_output=True, text=True, check=True)
    return set(done.stdout.split())
