"""The question to a screen: the request's query, the user, and the observer of the site."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from bridge.config.settings import Settings
from deferred_event_bridge.dashboard.access import User
from deferred_event_bridge.dashboard.observing import Observer

MAX_TEXT = 500
"""The most characters of a value in the query of a URL."""


class NotThere(Exception):
    """The URL names something that the site does not have; the message says what."""


class Unusable(Exception):
    """A value in the URL or in a form cannot be used; the message says what was expected."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One question to a screen."""

    observer: Observer
    user: User
    query: Mapping[str, str]
    now: datetime

    @property
    def settings(self) -> Settings:
        """The settings of the site."""
        return self.observer.settings

    def text(self, name: str) -> str | None:
        """Return a value of the query, None if it is absent or empty. Raise `Unusable` if it is too long."""
        value = self.query.get(name, "").strip()
        if len(value) > MAX_TEXT:
            raise Unusable(f"{name}: expected at most {MAX_TEXT} characters")
        return value or None


def command(*words: str | None) -> str:
    """Return a command line for people to copy. Words that are None are left out."""
    return shlex.join([word for word in words if word is not None])


def option(name: str, value: str | None) -> tuple[str, ...]:
    """Return an option with its value; nothing for no value."""
    return () if value is None else (name, value)


def iso(time: datetime | None) -> str | None:
    """Return a time as RFC 3339 text in UTC, to the second."""
    return None if time is None else time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
