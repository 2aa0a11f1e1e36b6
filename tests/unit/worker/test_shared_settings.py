"""The settings that the worker shares with its app."""

from pathlib import Path

import pytest

from bridge.child_protocol import Ready
from bridge.config.settings import load_settings
from bridge.errors import SettingsError
from worker.shared_settings import agreed


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_setting_of_the_app_is_adopted_with_its_origin() -> None:
    """The origin of other settings stays the same."""
    settings = agreed(load_settings(environ={}), Ready(settings={"namespace": "shop"}))

    assert (settings.values.namespace, settings.origin("namespace")) == ("shop", "the app's Flask config")
    assert settings.origin("broker_url") == "default"


def test_max_body_is_always_the_apps() -> None:
    """The app's Flask config is stronger than the settings that a worker reads."""
    settings = agreed(load_settings(environ={"BRIDGE_MAX_BODY": "5"}), Ready(max_body=7))

    assert (settings.values.max_body, settings.origin("max_body")) == (7, "the app's Flask config")


def test_a_setting_of_the_worker_that_differs_from_the_apps_is_an_error() -> None:
    """The error has both values, and the origin of the worker's."""
    settings = load_settings(command_line={"namespace": "till"}, environ={})

    with pytest.raises(SettingsError, match=r"namespace = 'till' \(from command line\): expected 'shop'"):
        agreed(settings, Ready(settings={"namespace": "shop"}))
