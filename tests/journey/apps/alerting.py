"""The app of `behaving`, with a listener of internal events. For an event about a dead letter it rejects its own event,
and for an event about a lost child it kills its own child."""

import json
import os
import signal

from behaving import app, events, note  # type: ignore[import-not-found]  # both are copied to the site's directory

from app_adapter import Event, Reject

__all__ = ["app"]


@events.on("bridge.#")  # type: ignore[untyped-decorator]  # because of the import
def alert(event: Event) -> None:
    """Note the payload. Reject the event of a dead letter, and kill the child with the event of a lost child."""
    note(event, step=json.dumps(event.payload))
    if event.name.startswith("bridge.dead_letter."):
        raise Reject("the alert fails too")
    if event.name == "bridge.child.lost":
        os.kill(os.getpid(), signal.SIGKILL)
