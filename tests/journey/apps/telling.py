"""An app whose listener tells its progress, asks for more time, and works on."""

import json
import threading
import time
from contextlib import suppress
from pathlib import Path

from behaving import app, events, note  # type: ignore[import-not-found]  # both are copied to the site's directory
from flask import request

from app_adapter import Event

__all__ = ["app"]


@events.on("work.#")  # type: ignore[untyped-decorator]  # because of the import
def work(event: Event) -> None:
    """Ask for the time in the payload, note the answer, and tell the progress until the file in the payload exists."""
    ask, file, *_ = event.payload["do"]
    granted = event.extend(ask)
    note(event, step=f"granted {granted}")
    while not Path(file).exists():
        event.progress(3, 10, "resizing")
        time.sleep(0.001)
    event.progress(10, 10, "resizing")
    note(event, step="done")


@events.on("hostile.#")  # type: ignore[untyped-decorator]
def write_anything(event: Event) -> None:
    """Write to the worker all the time, also after this event: no news, news of other events, and what is too long."""
    news = request.environ["bridge.news"]._socket
    about_all = json.dumps({"progress": {"id": event.id, "done": 1, "total": 2, "note": "\x1b[2J" * 40}}).encode()

    def flood() -> None:
        while True:
            for datagram in (b"nonsense", b"[" * 4000, b"x" * 100_000, about_all):
                with suppress(OSError):
                    news.send(datagram)

    threading.Thread(target=flood, daemon=True).start()
