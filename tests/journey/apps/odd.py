"""The app `fronted`, in a process that it has changed as `ODD` says."""

import importlib
import os
import select
import socket
import sys
from typing import Any


class Silent:
    """A stream that has only `write`."""

    def write(self, text: str) -> None:
        """Drop the text."""


class Green(socket.socket):
    """A socket that guesses its family, as eventlet's do."""

    def __init__(self, family: int = socket.AF_INET, *arguments: Any, **options: Any) -> None:
        super().__init__(family, *arguments, **options)


match os.environ["ODD"]:
    case "a default timeout":
        socket.setdefaulttimeout(0.05)
    case "streams without flush":
        sys.stdout = sys.stderr = Silent()
    case "no streams":
        sys.stdout = sys.stderr = None
    case "closed streams":
        sys.stdout.close()
        sys.stderr.close()
    case "closed descriptors":
        os.closerange(0, 3)
    case "patched modules":
        del select.poll
        socket.socket = Green  # type: ignore[misc]

app = importlib.import_module("fronted").app
