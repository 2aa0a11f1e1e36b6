"""An ingress of its own for a test: its settings, its tokens and its app."""

import asyncio
import time
from pathlib import Path
from typing import Any

from werkzeug.test import TestResponse

from app_adapter.ingress import create_app
from app_adapter.ingress.access import hash_of
from bridge.brokers.opening import open_broker
from bridge.history import record_of
from bridge.logs import Retention
from bridge.site_logs import HISTORY

TOKENS = {
    "all": ("t-all", '["#"]', '["defer", "call", "read"]'),
    "orders": ("t-orders", '["order.*"]', '["defer"]'),
}
"""The name of each token, the token itself, its patterns and its rights."""


class IngressSite:
    """The app of an ingress in this directory, which must be the working one."""

    def __init__(self, settings: str = "", ingress: str = "") -> None:
        tables = (
            f'[ingress.tokens.{name}]\nhash = "{hash_of(token)}"\nevents = {events}\nrights = {rights}\n'
            for name, (token, events, rights) in TOKENS.items()
        )
        Path("bridge.toml").write_text("\n".join((settings, "[ingress]", ingress, *tables)), "utf-8")
        self.app = create_app()
        self.events = self.app.extensions["deferred_events"].events

    def post(self, path: str, data: Any = None, *, token: str = "t-all", **headers: str) -> TestResponse:
        """Post data; `_` in the name of a header stands for `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            named["Authorization"] = f"Bearer {token}"
        return self.app.test_client().post(path, data=data, headers=named)

    def get(self, path: str, *, token: str = "t-all") -> TestResponse:
        """Get a URL."""
        return self.app.test_client().get(path, headers={"Authorization": f"Bearer {token}"} if token else {})


def write_history(*rows: tuple[str, str, str, int, str]) -> None:
    """Write attempts as a worker does: id, name, queue, attempt and end."""

    async def write() -> None:
        broker = open_broker("sqlite:///bridge.db", "bridge", declare=True)
        try:
            now = time.time()
            written = [[now + at, 0.5, *row] for at, row in enumerate(rows)]
            await broker.log(HISTORY, Retention(size=2**20)).append(record_of(written, "host", 17))
        finally:
            await broker.close()

    asyncio.run(write())
