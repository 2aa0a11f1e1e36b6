"""The right column of docs/comparison.md is code and settings that this project takes."""

import ast
import inspect
import re
import tomllib
from pathlib import Path

import pytest

import deferred_event_bridge
from bridge.config.reading import keys_of
from bridge.config.settings import load_settings
from bridge.config.values import QueueSettings
from tests.unit.docs.commands import PROGRAMS, lines_of
from tests.unit.docs.markdown import ROOT, rows
from tests.unit.docs.test_commands import parse

PAGE = ROOT / "docs" / "comparison.md"
SYSTEMS = ("Celery", "Dramatiq", "RQ", "Huey", "Sidekiq", "Symfony Messenger")
OURS = [span for row in rows(PAGE.read_text("utf-8")) for span in re.findall(r"`([^`]+)`", row[1])]
CALLS = [span for span in OURS if re.match(r"@?[\w.]+\(|raise ", span)]
SETTINGS = [span for span in OURS if re.match(r"\w+ = ", span)]
COMMANDS = [span for span in OURS if span.startswith("bridge-")]
NAMES = set(deferred_event_bridge.__all__)


def test_each_system_has_a_table() -> None:
    """Of some rows."""
    text = PAGE.read_text("utf-8")
    for system in SYSTEMS:
        assert len(rows(text.partition(f"## From {system}")[2].partition("\n## ")[0])) > 10, system


@pytest.mark.parametrize("code", sorted(set(CALLS)))
def test_code_can_be_written_so(code: str) -> None:
    """It is Python, and what it calls takes these arguments."""
    tree = ast.parse(f"{code}\ndef f(): ..." if code.startswith("@") else code)
    [called] = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    name = ast.unparse(called.func)
    if name.startswith("events."):
        function = getattr(deferred_event_bridge.DeferredEvents, name.removeprefix("events."))
    elif name.startswith("event."):
        function = getattr(deferred_event_bridge.Event, name.removeprefix("event."))
    elif name == "deferred.replay":
        return
    else:
        assert name in NAMES
        function = getattr(deferred_event_bridge, name)
    arguments = [None] * len(called.args)
    keywords = {str(keyword.arg): None for keyword in called.keywords}
    bound = [None, *arguments] if name.startswith(("events.", "event.")) else arguments
    inspect.signature(function).bind(*bound, **keywords)


@pytest.mark.parametrize("setting", sorted(set(SETTINGS)))
def test_a_setting_can_be_read(setting: str, tmp_path: Path) -> None:
    """As one of a queue, of a schedule, or of the site."""
    [key] = tomllib.loads(setting)
    if key in keys_of(QueueSettings):
        text = f"[queues.other]\npatterns = ['other.#']\n{setting if key != 'patterns' else ''}\n[queues.default]\n"
    elif key == "cron":
        text = f"[schedules.nightly]\nevent = 'night.began'\n{setting}\n"
    else:
        text = setting
    (tmp_path / "bridge.toml").write_text(text, "utf-8")
    assert load_settings(environ={}, file=str(tmp_path / "bridge.toml")).origins


@pytest.mark.parametrize("command", sorted(set(COMMANDS)))
def test_a_command_can_be_typed(command: str) -> None:
    """Its program takes the options."""
    [words] = lines_of(command)
    assert words[0] in PROGRAMS
    parse(words)
