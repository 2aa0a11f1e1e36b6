"""The pytest plugin, used by a project as its users do: without an import, by the entry point."""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLUGIN = "deferred_event_bridge.pytest_plugin"

PROJECT = """
import pytest
from deferred_event_bridge import DeferredEvents, defer
from flask import Flask

@pytest.fixture
def app():
    app = Flask("shop")
    app.testing = True
    events = DeferredEvents(app)

    @events.on("account.created")
    def welcome(event):
        app.config["welcomed"] = event.payload["name"]

    @events.on("account.broken")
    def fail(event):
        raise ValueError("broken")

    return app

@pytest.fixture
def bare(request):
    return Flask("bare")

def test_an_event_is_recorded_and_replayed(app, deferred_events):
    with app.app_context():
        defer("account.created", {"name": "Ann"})
    assert deferred_events[0].name == "account.created"
    deferred_events.replay()
    assert app.config["welcomed"] == "Ann"

def test_a_listener_fails(app, deferred_events):
    with app.app_context():
        defer("account.broken")
    deferred_events.replay()

def test_no_recording(app):
    with app.app_context():
        defer("account.created")

class TestBare:
    @pytest.fixture
    def app(self):
        return Flask("bare")

    def test_an_app_without_the_extension(self, deferred_events):
        pass
"""


def test_the_fixture_records_and_replays(tmp_path: Path) -> None:
    """The tests of a project pass or fail as docs/testing.md describes."""
    (tmp_path / "test_shop.py").write_text(PROJECT)

    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", PLUGIN, "-p", "no:cacheprovider", "test_shop.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert "1 passed" in ran.stdout and "2 failed" in ran.stdout and "1 error" in ran.stdout, ran.stdout
    assert "EventFailed: 'account.broken' from the queue 'default' was not delivered" in ran.stdout
    assert "DeferError: the app 'shop' has TESTING set, so 'account.created' is not sent to a broker" in ran.stdout
    assert "the fixture deferred_events: the app 'bare' has no DeferredEvents" in ran.stdout
    assert list(tmp_path.glob("*.db")) == []


def test_pytest_finds_the_plugin_by_its_entry_point() -> None:
    """Its name is the module's, so that `-p` and the entry point do not register it twice."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert project["entry-points"] == {"pytest11": {PLUGIN: PLUGIN}}


def test_the_plugin_imports_nothing_before_it_is_used() -> None:
    """pytest loads it for every test run of the environment."""
    code = f"import sys, {PLUGIN}; print(sorted({{'flask', 'app_adapter', 'bridge'}} & sys.modules.keys()))"

    assert subprocess.check_output([sys.executable, "-P", "-c", code], text=True) == "[]\n"
