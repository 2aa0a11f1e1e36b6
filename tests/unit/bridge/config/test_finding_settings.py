"""The search for settings: `bridge.toml` in the directories above, and environment variables that are no settings."""

import os
from pathlib import Path

import pytest

from bridge.config.environment import unknown_variables
from bridge.config.reading import keys_of
from bridge.config.settings import load_settings
from bridge.config.values import Values
from bridge.errors import SettingsError

KEYS = keys_of(Values)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site with a settings file at its top; the working directory is below it."""
    (tmp_path / "bridge.toml").write_text("namespace = 'shop'\nspool = 'spool.db'\n")
    (tmp_path / "app" / "views").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "app" / "views")
    return tmp_path


def test_the_file_is_found_upwards(site: Path) -> None:
    """Programs of one site find one file from each directory of it, and so the same SQLite file and spool."""
    settings = load_settings(environ={})

    assert settings.file == site / "bridge.toml"
    assert settings.values.namespace == "shop"
    assert settings.values.broker_url == f"sqlite:///{site}/bridge.db"
    assert settings.values.spool == f"{site}/spool.db"


def test_the_nearest_file_wins(site: Path) -> None:
    """A file in the working directory hides those above it, and a directory of that name hides nothing."""
    (site / "app" / "bridge.toml").write_text("namespace = 'app'")
    (site / "app" / "views" / "bridge.toml").mkdir()
    assert load_settings(environ={}).values.namespace == "app"
    (site / "app" / "views" / "bridge.toml").rmdir()

    (site / "app" / "views" / "bridge.toml").write_text("namespace = 'views'")

    assert load_settings(environ={}).values.namespace == "views"


@pytest.mark.parametrize("given", [{"file": "other.toml"}, {"environ": {"BRIDGE_CONFIG": "other.toml"}}])
def test_a_file_that_is_given_is_not_searched(site: Path, given: dict[str, object]) -> None:
    """Only its own place counts."""
    (site / "other.toml").write_text("")

    with pytest.raises(SettingsError, match=f"{site}/app/views/other.toml does not exist"):
        load_settings(**{"environ": {}, **given})  # type: ignore[arg-type]


def test_an_empty_variable_names_no_file(site: Path) -> None:
    """`BRIDGE_CONFIG=` is the same as no such variable."""
    assert load_settings(environ={"BRIDGE_CONFIG": ""}).file == site / "bridge.toml"


@pytest.mark.parametrize("mode", [0o777, 0o1777])
def test_a_file_that_anybody_could_plant(
    site: Path, mode: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In a directory like /tmp, only a file of this user or of root is read: settings name code to import."""
    site.chmod(mode)
    assert load_settings(environ={}).file == site / "bridge.toml"
    os.chown(site / "bridge.toml", os.getuid() or 1, -1)
    monkeypatch.setattr(os, "geteuid", lambda: 54321)

    assert load_settings(environ={}).file is None

    assert f"{site}/bridge.toml belongs to another user" in caplog.text


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("BRIDGE_BROKER_URI", "BRIDGE_BROKER_URL"),
        ("BRIDGE_BROKERURL", "BRIDGE_BROKER_URL"),
        ("BRIDGE_PUBLISHTIMEOUT", "BRIDGE_PUBLISH_TIMEOUT"),
        ("BRIDGE_CHILD", "BRIDGE_CHILDREN"),
        ("BRIDGE_CONF", "BRIDGE_CONFIG"),
        ("BRIDGE_broker_url", None),
        ("BRIDGE_", None),
        ("BRIDGE_PORT_8080_TCP", None),
    ],
)
def test_an_unknown_variable_is_said(name: str, nearest: str | None, caplog: pytest.LogCaptureFixture) -> None:
    """A variable that is no setting has no effect, so it is reported, with the nearest name if there is one, and
    without its value."""
    load_settings(environ={name: "hunter2", "BRIDGE_NAMESPACE": "shop", "OTHER": "x"})

    (record,) = caplog.records
    said = record.getMessage()
    assert said.startswith(f"environment variable {name} is no setting")
    if nearest is not None:
        assert said.endswith(f"; the nearest is {nearest}")
    assert "hunter2" not in said


def test_children_do_not_repeat_it() -> None:
    """A worker reports the variable once, and not again for each child."""
    assert list(unknown_variables({"BRIDGE_X": "", "BRIDGE_CHECKED": "1"}, KEYS)) == []


def test_all_settings_are_known() -> None:
    """Each setting has a variable, and `BRIDGE_CONFIG` names the file."""
    environ = {f"BRIDGE_{key.upper()}": "" for key in KEYS} | {"BRIDGE_CONFIG": "", "PATH": ""}

    assert list(unknown_variables(environ, KEYS)) == []
