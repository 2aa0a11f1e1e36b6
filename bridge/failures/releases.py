"""When each release of the app was first seen. Pure."""

from collections.abc import Mapping
from datetime import datetime

from bridge.event import UNKNOWN_TIME


class Releases:
    """The time at which each release was first seen, in any order of adding."""

    def __init__(self) -> None:
        self._first_seen: dict[str, datetime] = {}

    def add(self, release: str | None, time: datetime) -> None:
        """Note that a release was seen at a time. Without a release, or at an unknown time, change nothing."""
        if release is None or time == UNKNOWN_TIME:
            return
        seen = self._first_seen.get(release)
        if seen is None or time < seen:
            self._first_seen[release] = time

    @property
    def first_seen(self) -> Mapping[str, datetime]:
        """The time at which each release was first seen."""
        return self._first_seen
