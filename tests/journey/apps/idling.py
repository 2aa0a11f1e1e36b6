"""The app of `fronted`, with two idle functions: one raises, the other appends to the file `EFFECTS.idle`."""

import os
from pathlib import Path

from flask import current_app
from fronted import app, events  # type: ignore[import-not-found]  # both are copied to the site's directory

__all__ = ["app"]


@events.on_idle(after=0.2)  # type: ignore[untyped-decorator]  # because of the import
def fail() -> None:
    """Raise what would end a process."""
    raise SystemExit("idle")


@events.on_idle(after=0.2)  # type: ignore[untyped-decorator]
def note() -> None:
    """Append the process id."""
    with Path(os.environ["EFFECTS"] + ".idle").open("a") as lines:
        lines.write(f"{os.getpid()} {current_app.name}\n")
