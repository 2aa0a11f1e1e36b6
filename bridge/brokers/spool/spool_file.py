"""Which spool a site has, from its settings. What is in it is in `store`, and for those who only look in `reading`."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bridge.settings import Settings


@dataclass(frozen=True, slots=True)
class SpoolFile:
    """A spool: its file, the bytes at which it is full, and the namespace whose events are in it."""

    path: Path
    limit: int
    namespace: str


def spool_file(settings: Settings) -> SpoolFile | None:
    """Return the spool that the site has, whether it is used or not; None where the broker is a file itself."""
    values = settings.values
    if urlsplit(values.broker_url).scheme == "sqlite":
        return None
    return SpoolFile(Path(values.spool), values.spool_limit, values.namespace)
