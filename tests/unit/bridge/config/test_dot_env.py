"""`.env` and `.flaskenv`: read as `flask` reads them, or said not to be read."""

import importlib.util
import os
from pathlib import Path

import pytest
from flask.cli import load_dotenv

from bridge.config import dot_env
from bridge.config.dot_env import environment, unread
from bridge.errors import SettingsError

FILES: list[dict[str, str]] = [
    {".env": "A=1\nB='two words'\n# C=3\nexport D=4\nE"},
    {".flaskenv": "A=1\nB=2", ".env": "B=3"},
    {".env": 'A="line\\nline"\nB=${A} and ${HERE}'},
    {"../.env": "A=above"},
    {"../.env": "A=above", ".flaskenv": "B=here"},
    {".env": "HERE=file\nA=ä"},
    {".env": ""},
    {},
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, one below the temporary directory."""
    directory = tmp_path / "app"
    directory.mkdir()
    monkeypatch.chdir(directory)
    monkeypatch.setenv("HERE", "environment")
    return directory


def write(directory: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (directory / name).write_text(text, "utf-8")


@pytest.mark.parametrize("skip", [None, "1", "0", "false"])
@pytest.mark.parametrize("files", FILES)
def test_the_variables_are_those_that_flask_loads(
    files: dict[str, str], skip: str | None, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the directory or one above it; the environment is the strongest. `os.environ` does not change."""
    if skip is not None:
        monkeypatch.setenv("FLASK_SKIP_DOTENV", skip)
    write(here, files)
    before = dict(os.environ)

    found = environment()

    assert dict(os.environ) == before
    monkeypatch.setattr(os, "environ", os.environ.copy())
    if skip != "1":
        load_dotenv()
    assert dict(found) == dict(os.environ)


def test_a_file_that_is_no_text_is_a_wrong_setting(here: Path) -> None:
    """The error names the file."""
    (here / ".env").write_bytes(b"A=\xff")

    with pytest.raises(SettingsError, match=r"\.env: expected variables in UTF-8"):
        environment()


def without_dotenv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dot_env, "is_installed", lambda: False)


def test_without_python_dotenv_the_file_is_not_read_and_that_is_said(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The warning names the file and the package."""
    write(here, {".env": "DATABASE=x"})
    without_dotenv(monkeypatch)

    assert environment() is os.environ
    assert unread(reads_dot_env=True) == f"not read, because python-dotenv is not installed: {here}/.env"


def test_a_program_that_loads_the_app_reads_everything(here: Path) -> None:
    """Then there is nothing to say."""
    write(here, {".env": "BRIDGE_NAMESPACE=shop"})

    assert importlib.util.find_spec("dotenv") is not None
    assert unread(reads_dot_env=True) is None


def test_who_skips_the_file_knows_it(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FLASK_SKIP_DOTENV is Flask's own switch."""
    write(here, {".env": "BRIDGE_NAMESPACE=shop"})
    without_dotenv(monkeypatch)
    monkeypatch.setenv("FLASK_SKIP_DOTENV", "1")

    assert unread(reads_dot_env=True) is None


def test_a_program_without_an_app_says_which_settings_it_does_not_read(here: Path) -> None:
    """Those of the bridge that the environment does not set; other variables are not its business."""
    write(here, {".env": "export BRIDGE_BROKER_URL=amqp://u:secret@h/\nDATABASE=x\nBRIDGE_NAMESPACE = shop"})
    write(here, {"../.flaskenv": "BRIDGE_CONFIG=/etc/bridge.toml\nFLASK_APP=shop"})

    warning = unread(reads_dot_env=False, environ={"BRIDGE_NAMESPACE": "shop"})

    assert warning is not None
    assert warning.startswith("BRIDGE_BROKER_URL, BRIDGE_CONFIG not read from")
    assert f"{here.parent}/.flaskenv" in warning and f"{here}/.env" in warning
    assert "secret" not in warning


@pytest.mark.parametrize("text", ["", "DATABASE=x", "# BRIDGE_NAMESPACE=shop", "BRIDGE_NAMESPACE=set"])
def test_a_program_without_an_app_is_silent_otherwise(text: str, here: Path) -> None:
    """Nothing is missing."""
    write(here, {".env": text})

    assert unread(reads_dot_env=False, environ={"BRIDGE_NAMESPACE": "set"}) is None
