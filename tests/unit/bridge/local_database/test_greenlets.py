"""The database under gevent, where its thread is a greenlet: a busy file holds up nobody but the caller."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
from gevent import monkey
monkey.patch_all()
import sqlite3, threading, time
from app_adapter.fork_safe_publishing import publish
from bridge.config.settings import load_settings
from bridge.errors import DeferUnavailable
from tests.events import new_event

settings = load_settings(command_line={"broker_url": "sqlite:///events.db", "publish_timeout": "5s"}, environ={})
publish(settings, new_event("before", b"{}"), None)
other = sqlite3.connect("events.db", isolation_level=None)
other.execute("BEGIN IMMEDIATE")
ticks = []

def tick():
    while not ticks or ticks[-1] != "end":
        time.sleep(0.01)
        ticks.insert(0, "tick")

ticking = threading.Thread(target=tick)
ticking.start()
try:
    publish(settings, new_event("busy", b"{}"), None)
except DeferUnavailable as error:
    print(error)
ticks.append("end")
ticking.join()
print(len(ticks) > 10)
other.execute("COMMIT")
publish(settings, new_event("after", b"{}"), None)
print(*(name for (name,) in other.execute('SELECT name FROM "bridge.event" ORDER BY number')))
"""


def test_a_busy_file_lets_other_greenlets_run(tmp_path: Path) -> None:
    """The event is refused in time, others run meanwhile, and the next event is published."""
    environment = {"PYTHONPATH": str(Path(__file__).parents[4])}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    refused, others_ran, published = done.stdout.splitlines()
    assert "busy" in refused
    assert (others_ran, published) == ("True", "before after")
