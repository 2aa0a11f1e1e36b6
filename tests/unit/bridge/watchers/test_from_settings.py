"""The `watchers` setting: its objects are imported at the start, and a program with an invalid one does not start."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.config.settings import Settings, load_settings
from bridge.errors import SettingsError
from bridge.moments import BrokerLost
from bridge.watchers.from_settings import named_watchers

MODULE = """
received = []
watch = received.append
number = 17

class Holder:
    watch = received.append
"""


@pytest.fixture(autouse=True)
def _site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make a working directory with the module of a site, and unload the module after the test."""
    (tmp_path / "watching_site.py").write_text(MODULE)
    (tmp_path / "watching_broken.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    yield
    for name in ("watching_site", "watching_broken"):
        sys.modules.pop(name, None)


def settings(*watchers: str) -> Settings:
    """Return settings with these watchers in bridge.toml."""
    Path("bridge.toml").write_text(f"watchers = {list(watchers)}")
    return load_settings(environ={})


def test_the_named_watchers_are_imported_in_order() -> None:
    """Watchers are imported from the working directory, and may be nested objects."""
    watchers = named_watchers(settings("watching_site:watch", "watching_site:Holder.watch"))
    for watcher in watchers:
        watcher(BrokerLost("away"))

    assert sys.modules["watching_site"].received == [BrokerLost("away")] * 2


def test_without_the_setting_there_is_none() -> None:
    """Without the setting there are no watchers."""
    assert named_watchers(load_settings(environ={})) == ()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("watching_nowhere:watch", "ModuleNotFoundError: No module named 'watching_nowhere'"),
        ("watching_site:nothing", "AttributeError: "),
        ("watching_broken:watch", "ZeroDivisionError: "),
        ("watching_site:number", "TypeError: it is a int: expected a callable"),
        ("watching_site:Holder", "TypeError: it is a class: expected an instance"),
    ],
)
def test_a_watcher_that_cannot_be_used_is_a_settings_error(name: str, why: str) -> None:
    """The error names the key, the value, its origin, what was expected, and the exception."""
    with pytest.raises(SettingsError) as error:
        named_watchers(settings(name))

    message = str(error.value)
    assert message.startswith(f"watchers = '{name}' (from {Path.cwd() / 'bridge.toml'}): expected 'module:object' that")
    assert why in message
