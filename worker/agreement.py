"""What the worker and the app must agree on: where events go, and below which path replays come in."""

from dataclasses import replace

from bridge.errors import SettingsError
from bridge.notation import without_password
from bridge.settings import COMMAND_LINE, CONFIG, PREFIX, Settings
from worker.pool.control import Ready

SHARED_SETTINGS = ("broker_url", "namespace", "replay_path")


def told_to_children(settings: Settings) -> dict[str, str]:
    """Return what the worker's command line said, as the environment says it: the app shares it, unless its own Flask
    config says otherwise."""
    told = {
        key: str(getattr(settings.values, key)) for key in SHARED_SETTINGS if settings.origins.get(key) == COMMAND_LINE
    }
    return {PREFIX + key.upper(): value for key, value in told.items()} | (
        {CONFIG: str(settings.file)} if settings.file else {}
    )


def agreed(settings: Settings, ready: Ready) -> Settings:
    """Return the settings with what the app alone knows (its Flask config). Raise `SettingsError` where the worker was
    told otherwise: it would wait at one broker while the app defers to another."""
    adopted = {}
    for key in SHARED_SETTINGS:
        ours, theirs = getattr(settings.values, key), ready.settings.get(key)
        if theirs is None or theirs == ours:
            continue
        if key in settings.origins:
            raise SettingsError(
                f"{key} = {without_password(ours)!r} (from {settings.origin(key)}): expected "
                f"{without_password(theirs)!r}, which is what the app uses"
            )
        adopted[key] = theirs
    origins = {**settings.origins, **dict.fromkeys(adopted, "the app's Flask config")}
    return replace(settings, values=settings.values.model_copy(update=adopted), origins=origins)
