"""Ignores a call of `app.run()` while the app is imported: it would start a server and never return."""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flask import Flask


@contextmanager
def ignoring_app_run() -> Iterator[None]:
    """Ignore `app.run()` within the block, as `flask` does, and print a warning that names its line."""
    original = Flask.run

    def run(self: Flask, *_: object, **__: object) -> None:
        print(
            f"WARNING: {_caller()} calls app.run() while the app is imported; it is ignored here. Call it in an "
            "'if __name__ == \"__main__\":' block only",
            file=sys.stderr,
            flush=True,
        )

    Flask.run = run  # type: ignore[method-assign]  # until the app is imported
    try:
        yield
    finally:
        Flask.run = original  # type: ignore[method-assign]  # as it was


def _caller() -> str:
    """Return the file and line of the app's own code that made the call, or else of the library's."""
    frames = traceback.extract_stack()[:-2]
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(Path.cwd()) and _is_own(frame.filename)]
    frame = (own or frames)[-1]
    return f"{frame.filename}, line {frame.lineno},"


def _is_own(filename: str) -> bool:
    return "site-packages" not in filename
