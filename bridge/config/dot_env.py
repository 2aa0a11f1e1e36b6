"""The files `.env` and `.flaskenv`, for the programs that run a site. They are read as `flask` reads them.

The environment is stronger than `.env`, and `.env` is stronger than `.flaskenv`. Nothing is written to `os.environ`:
each child reads the files itself, so a reload has their new values.
"""

import importlib.util
import os
import re
from collections.abc import Mapping
from pathlib import Path

from bridge.config.environment import PREFIX
from bridge.errors import SettingsError
from bridge.looking import is_seen_file, working_directory

FILES = (".flaskenv", ".env")
SKIP = "FLASK_SKIP_DOTENV"
_VARIABLE = re.compile(rf"\s*(?:export\s+)?({PREFIX}[A-Z_]+)\s*=")


def environment(environ: Mapping[str, str] | None = None, directory: Path | None = None) -> Mapping[str, str]:
    """Return the environment, completed by the files of the directory or of the nearest one above it that has them.

    Without python-dotenv, and with FLASK_SKIP_DOTENV, it is the environment alone. Raise `SettingsError` for a file
    that cannot be read.
    """
    environ = os.environ if environ is None else environ
    if not _is_wanted(environ) or not is_installed():
        return environ
    from dotenv import dotenv_values

    found: dict[str, str] = {}
    for path in _files(directory or working_directory()):
        try:
            values = dotenv_values(path, encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{path}: expected variables in UTF-8: {error}") from error
        found |= {name: value for name, value in values.items() if value is not None}
    return found | dict(environ)


def is_installed() -> bool:
    """Return True if python-dotenv can be imported."""
    return importlib.util.find_spec("dotenv") is not None


def unread(reads_dot_env: bool, environ: Mapping[str, str] | None = None, directory: Path | None = None) -> str | None:
    """Return a warning if the files set variables that a program does not read; None if they do not.

    A program that reads them can do so only if python-dotenv is installed.
    """
    environ = os.environ if environ is None else environ
    files = _files(directory or working_directory())
    if reads_dot_env:
        if not files or is_installed() or not _is_wanted(environ):
            return None
        return f"not read, because python-dotenv is not installed: {', '.join(map(str, files))}"
    names = {name: path for path in files for name in _names(path) if name not in environ}
    if not names:
        return None
    places = " and ".join(dict.fromkeys(map(str, names.values())))
    return (
        f"{', '.join(sorted(names))} not read from {places}, because this program loads no app; set them in the "
        "environment or in bridge.toml"
    )


def _is_wanted(environ: Mapping[str, str]) -> bool:
    return environ.get(SKIP, "").lower() in ("", "0", "false", "no")


def _files(directory: Path) -> list[Path]:
    """Return each of the files that this user sees in this directory or above it, the weaker one first."""
    above = [directory, *directory.parents]
    found = (next((place / name for place in above if is_seen_file(place / name)), None) for name in FILES)
    return [path for path in found if path is not None]


def _names(path: Path) -> list[str]:
    """Return the names of the variables of the bridge in a file; none if it cannot be read."""
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    return [match[1] for line in lines if (match := _VARIABLE.match(line))]
