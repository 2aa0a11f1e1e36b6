"""What the worker takes over from the app."""

from pathlib import Path

import pytest

from bridge.errors import SettingsError
from bridge.settings import load_settings
from worker.agreement import agreed
from worker.pool.control import Ready


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_what_the_app_says_has_its_origin() -> None:
    """So that nobody looks for it in the defaults."""
    settings = agreed(load_settings(environ={}), Ready(settings={"namespace": "shop"}))

    assert (settings.values.namespace, settings.origin("namespace")) == ("shop", "the app's Flask config")
    assert settings.origin("broker_url") == "default"


def test_where_the_worker_was_told_otherwise_they_disagree() -> None:
    """The error names both, and where the worker's came from."""
    settings = load_settings(command_line={"namespace": "till"}, environ={})

    with pytest.raises(SettingsError, match=r"namespace = 'till' \(from command line\): expected 'shop'"):
        agreed(settings, Ready(settings={"namespace": "shop"}))
