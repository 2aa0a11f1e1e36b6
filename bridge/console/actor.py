"""The user of a program, for the records of what a person decided."""

import getpass
import os
import socket

from bridge.console.encoding import argument_text


def actor() -> str:
    """Return the user as `user@host`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user often has no name
        user = f"uid-{os.getuid()}"
    return argument_text(f"{user}@{socket.gethostname()}")
