"""The site's spool file, by its settings. `store` writes and reads it; `summary` counts its events without writing."""

from dataclasses import dataclass
from pathlib import Path

from bridge.config.settings import Settings
from bridge.config.sqlite_url import is_sqlite


@dataclass(frozen=True, slots=True)
class SpoolFile:
    """A spool: its path, the bytes at which it is full, the namespace of its events, and the group that shares it."""

    path: Path
    limit: int
    namespace: str
    group: int | None = None


def spool_file(settings: Settings) -> SpoolFile | None:
    """Return the site's spool, used or not. Return None if the broker itself is a file."""
    values = settings.values
    if is_sqlite(values.broker_url):
        return None
    return SpoolFile(Path(values.spool), values.spool_limit, values.namespace, values.file_group)
