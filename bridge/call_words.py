"""The words for calls in the parameters of a request and in the headers of its reply. Pure."""

from collections.abc import Mapping
from typing import Any

CALL = "BRIDGE_CALL"
ANSWER = "Bridge-Answer"

NO_LISTENER = "no listener"
"""The type of the error of an event or a call that no listener of the app takes."""


def is_call(environ: Mapping[str, Any]) -> bool:
    """Return True if a replay is one of a call."""
    return environ.get(CALL) == "1"
