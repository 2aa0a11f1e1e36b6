"""The web server of a site, gunicorn with the app `shop`, and a client for it."""

import asyncio
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection

from tests.journey.site import Site
from tests.limits import PATIENCE

THREADS = 8
TIMEOUT = 2.0
"""Seconds of `publish_timeout` in tests in which it runs out."""
LONGEST = TIMEOUT + 15.0
"""The longest `defer()` in seconds: this timeout, and 15 s more on a machine that stalls."""


@dataclass(frozen=True)
class Answer:
    """The reply of the page: the event's id or the error, and how many seconds `defer()` took."""

    id: str
    seconds: float
    error: str = ""
    says: str = ""


class Web:
    """A web server that serves the site's app in one process. It starts at the first request."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._port = 0

    async def start(self) -> None:
        """Start the server with the current settings of the site; return when it serves."""
        options = ("--bind", "127.0.0.1:0", "--worker-class", "gthread", "--threads", str(THREADS))
        server = self._site.run("gunicorn", *options, "shop:app")
        await server.says("Booting worker")
        found = re.search(r"Listening at: http://127\.0\.0\.1:(\d+)", server.log)
        assert found is not None, server.log
        self._port = int(found[1])

    async def works(self) -> Answer:
        """Send one request after the other until an event is deferred; return the reply."""
        end = time.monotonic() + PATIENCE
        while True:
            (answer,) = await self.defer("ok")
            if not answer.error:
                return answer
            assert time.monotonic() < end, answer

    async def defer(self, *steps: str, count: int = 1, padding: int = 0) -> list[Answer]:
        """Send `count` requests at once, each of which defers an event with these steps; return the replies. `padding`
        is the number of bytes to add to each event."""
        if not self._port:
            await self.start()
        body = json.dumps({"do": steps, "padding": "x" * padding})
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(THREADS) as browsers:
            return await asyncio.gather(
                *(loop.run_in_executor(browsers, _post, self._port, "/defer/do.this", body) for _ in range(count))
            )


def _post(port: int, path: str, body: str) -> Answer:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        return Answer(**json.loads(connection.getresponse().read()))
    finally:
        connection.close()
