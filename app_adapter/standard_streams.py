"""Standard output and error of a child. The app may have replaced, closed or removed `sys.stdout` and `sys.stderr`."""

import os
import sys
from contextlib import suppress

STDOUT, STDERR = 1, 2


def say(text: str | bytes) -> None:
    """Write to the descriptor of standard error."""
    data = text.encode("utf-8", "backslashreplace") if isinstance(text, str) else text
    with suppress(OSError):  # the app has closed the descriptor, or the pool has ended
        while data:
            data = data[os.write(STDERR, data) :]


def flush_output() -> None:
    """Write what `sys.stdout` and `sys.stderr` still hold, as far as the app's own streams can do that."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # the app's stream may have no flush(), or may be closed
            stream.flush()
