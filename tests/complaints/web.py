"""A site's web server, gunicorn with the app `shop`, and a browser for it."""

import asyncio
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection

from tests.journey.site import Site

THREADS = 8
LONGEST = 2.0 + 1.0
"""Seconds that `defer()` may take at most: its budget as it is by default, and what a busy machine may add."""

REQUEST_SECONDS = 20.0


@dataclass(frozen=True)
class Answer:
    """What a page told: the event's id, or the error in its place; and how long `defer()` took."""

    id: str
    seconds: float
    error: str = ""
    says: str = ""


class Web:
    """A web server that serves the site's app in one process, from the first request on."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._port = 0

    async def start(self) -> None:
        """Start it, with the site's settings as they are now, and return when it serves."""
        options = ("--bind", "127.0.0.1:0", "--worker-class", "gthread", "--threads", str(THREADS))
        server = self._site.run("gunicorn", *options, "shop:app")
        await server.says("Booting worker")
        found = re.search(r"Listening at: http://127\.0\.0\.1:(\d+)", server.log)
        assert found is not None, server.log
        self._port = int(found[1])

    async def works(self) -> Answer:
        """Send one request after the other until an event is deferred; return its answer."""
        end = time.monotonic() + REQUEST_SECONDS
        while True:
            (answer,) = await self.defer("ok")
            if not answer.error:
                return answer
            assert time.monotonic() < end, answer

    async def defer(self, *steps: str, count: int = 1, padding: int = 0) -> list[Answer]:
        """Send so many requests at once, each of which defers an event that asks for these steps; return the answers.
        `padding` makes the events larger by so many bytes."""
        if not self._port:
            await self.start()
        body = json.dumps({"do": steps, "padding": "x" * padding})
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(THREADS) as browsers:
            return await asyncio.gather(
                *(loop.run_in_executor(browsers, _post, self._port, "/defer/do.this", body) for _ in range(count))
            )


def _post(port: int, path: str, body: str) -> Answer:
    connection = HTTPConnection("127.0.0.1", port, timeout=REQUEST_SECONDS)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        return Answer(**json.loads(connection.getresponse().read()))
    finally:
        connection.close()
