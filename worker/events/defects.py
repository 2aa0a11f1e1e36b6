"""Internal errors: what becomes of an event with which a program of the bridge itself has failed.

The first time the event returns to its queue, because the cause may be of the moment. The second time it is a dead
letter with the traceback, so that one event cannot fail for ever.
"""

import traceback
from collections import OrderedDict

from bridge.attempt import Error
from bridge.envelope import Envelope
from bridge.settlement import DeadLetter

REMEMBERED = 4096
"""The number of messages with an internal error that a worker remembers."""


class Defects:
    """The messages with which this worker has failed, by token, the newest last."""

    def __init__(self) -> None:
        self._failed: OrderedDict[str, None] = OrderedDict()

    def again(self, token: str) -> bool:
        """Note a failure with this message. Return True if it is not the first."""
        again = token in self._failed
        self._failed[token] = None
        self._failed.move_to_end(token)
        if len(self._failed) > REMEMBERED:
            self._failed.popitem(last=False)
        return again


def dead_letter(envelope: Envelope, error: Exception) -> DeadLetter:
    """Return the settlement of an event after its second internal error."""
    trace = "".join(traceback.format_exception(error))
    found = Error(type(error).__name__, str(error), trace).bounded()
    return DeadLetter(envelope, "internal error", found)
