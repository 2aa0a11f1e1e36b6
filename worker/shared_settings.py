"""The settings that a worker shares with its app: the broker, the namespace, the path of replays, and `max_body`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from bridge.child_protocol import SHARED_SETTINGS, Ready
from bridge.config.environment import CHECKED, CONFIG, variable
from bridge.config.hiding import without_password
from bridge.config.settings import COMMAND_LINE, Settings
from bridge.errors import SettingsError


def environment_of_children(settings: Settings) -> dict[str, str]:
    """Return the shared settings of the worker's command line as environment variables for the children. The app's own
    Flask config is stronger."""
    given = {
        key: str(getattr(settings.values, key)) for key in SHARED_SETTINGS if settings.origins.get(key) == COMMAND_LINE
    }
    return {CHECKED: "1"} | {variable(key): value for key, value in given.items()}


def files_of_children(settings: Settings) -> dict[str, Path]:
    """Return the variable that names the settings' file for the children. Its path is relative if the file is in the
    working directory, so that a new version of the app reads the file of its own directory."""
    file = settings.file
    if file is None:
        return {}
    return {CONFIG: file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file}


def agreed(settings: Settings, ready: Ready) -> Settings:
    """Return the settings, completed by those of the app's Flask config. Raise `SettingsError` if a setting of the
    worker disagrees with the app's: the worker might serve one broker while the app defers to another. `max_body` is
    always the app's, because the app's Flask config is stronger than what the worker reads."""
    adopted: dict[str, Any] = {}
    if ready.max_body != settings.values.max_body:
        adopted["max_body"] = ready.max_body
    for key in SHARED_SETTINGS:
        own, of_app = getattr(settings.values, key), ready.settings.get(key)
        if of_app is None or of_app == own:
            continue
        if key in settings.origins:
            raise SettingsError(
                f"{key} = {without_password(own)!r} (from {settings.origin(key)}): expected "
                f"{without_password(of_app)!r}, which the app uses"
            )
        adopted[key] = of_app
    origins = {**settings.origins, **dict.fromkeys(adopted, "the app's Flask config")}
    return replace(settings, values=replace(settings.values, **adopted), origins=origins)
