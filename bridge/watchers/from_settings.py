"""The watchers that the `watchers` setting names. A program imports them once, when it starts."""

from typing import TYPE_CHECKING

from bridge.config.named_object import named_object
from bridge.config.settings import Settings
from bridge.errors import SettingsError
from bridge.watchers.notify import check

if TYPE_CHECKING:
    from bridge.moments import Watcher


def named_watchers(settings: Settings) -> tuple["Watcher", ...]:
    """Import the watchers that the settings name, in order. Raise `SettingsError` if an object cannot be imported or is
    not a watcher."""
    return tuple(_named(name, settings.origin("watchers")) for name in settings.values.watchers)


def _named(name: str, origin: str) -> "Watcher":
    try:
        return check(named_object(name))
    except Exception as error:  # the import of the site's module can raise any exception
        raise SettingsError(
            f"watchers = {name!r} (from {origin}): expected 'module:object' that names a callable which takes one "
            f"moment: {type(error).__name__}: {error}"
        ) from error
