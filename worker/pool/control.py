"""The control channel: the one line that a child says when it has booted, or why it cannot."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_LINE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Ready:
    """The child has imported the app, proved its whole stack, and takes requests now.

    `settings` are those of the app that a worker must share; `host` is the name the app answers to.
    """

    release: str | None = None
    host: str = "localhost"
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CannotBoot:
    """The child says why it cannot serve."""

    message: str


def read(line: bytes) -> Ready | CannotBoot | None:
    """Return what the child said; None where the line is no message of a child."""
    try:
        said = json.loads(line)
        if "failed" in said:
            return CannotBoot(str(said["failed"]))
        ready = said["ready"]
        return Ready(
            release=ready["release"],
            host=str(ready["host"]),
            settings={str(key): str(value) for key, value in ready["settings"].items()},
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
