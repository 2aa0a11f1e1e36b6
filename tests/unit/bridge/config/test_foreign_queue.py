"""The key `foreign` of a queue: what it takes, and what it refuses, with the key, the value and what was expected."""

from pathlib import Path

import pytest

from bridge.config.settings import load_settings
from bridge.errors import SettingsError
from bridge.foreign_messages.source import ForeignSource
from bridge.foreign_messages.target import Target
from bridge.queues import Queue


def queue(path: Path, foreign: str, more: str = "") -> Queue:
    """The queue of a bridge.toml with this `foreign`."""
    file = path / "bridge.toml"
    file.write_text(f"[queues.old]\n{more}\nforeign = {foreign}\n")
    return load_settings(environ={}, file=str(file)).queues()[0]


def test_targets_are_paths_or_tables(tmp_path: Path) -> None:
    """A path alone is allowed at every address."""
    foreign = (
        "{queue = 'sf_deferred_events', format = 'fervo', event = 'legacy.a', errors = true, "
        "targets = ['/srv/a.php', {script = '/srv/b.php', address = 'localhost:9000'}]}"
    )

    assert queue(tmp_path, foreign).foreign == ForeignSource(
        "sf_deferred_events", "fervo", "legacy.a", (Target("/srv/a.php"), Target("/srv/b.php", "localhost:9000")), True
    )


@pytest.mark.parametrize(
    ("foreign", "problem"),
    [
        ("{queue = 'q', format = 'fervo'}", "event"),
        ("{format = 'fervo', event = 'a.b'}", "queue"),
        ("{queue = '', format = 'fervo', event = 'a.b'}", "queues.old.foreign.queue = ''"),
        ("{queue = 'q', format = 'Fervo', event = 'a.b'}", "queues.old.foreign.format = 'Fervo'"),
        ("{queue = 'q', format = 'fervo', event = 'a b'}", "queues.old.foreign.event = 'a b'"),
        ("{queue = 'q', format = 'fervo', event = 'bridge.a'}", "queues.old.foreign.event = 'bridge.a'"),
        ("{queue = 'q', format = 'fervo', event = 'a', targets = ['a.php']}", "targets.0.script = 'a.php'"),
        ("{queue = 'q', format = 'fervo', event = 'a', targets = '/a.php'}", "targets = '/a.php'"),
        (
            "{queue = 'q', format = 'fervo', event = 'a', targets = [{script = '/a', address = 'unix:/s'}]}",
            "targets.0.address = 'unix:/s'",
        ),
        ("{queue = 'q', format = 'fervo', event = 'a', error = true}", "did you mean errors?"),
        ("{queue = 'q', format = 'amqp-cgi-bridge', event = 'a', errors = true}", "queues.old.foreign.errors = True"),
        ("{queue = 'q', format = 'amqp-cgi-bridge', event = 'a', targets = ['/a']}", "queues.old.foreign.targets"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, foreign: str, problem: str) -> None:
    """Nothing of it is guessed."""
    with pytest.raises(SettingsError) as refused:
        queue(tmp_path, foreign)
    assert problem in str(refused.value)
    assert "expected" in str(refused.value)


def test_an_ordered_queue_has_none(tmp_path: Path) -> None:
    """Workers take these messages together, so their order is not kept."""
    with pytest.raises(SettingsError, match=r"queues\.old\.foreign = .*expected no ordered = true"):
        queue(tmp_path, "{queue = 'q', format = 'fervo', event = 'a'}", "ordered = true")
