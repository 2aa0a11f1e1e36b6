"""The page on a site with 100,000 dead letters and fifty workers: how long each screen takes, from the first request of
its process, and until a Chromium paints it."""

import http.client
import os
import re
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

from benchmarks.further.site import SLOTS, WORKERS, members
from benchmarks.report import Row, Table
from benchmarks.scale import Scale
from bridge.attempt import Attempt, Error
from bridge.config.settings import load_settings
from bridge.envelope import Envelope
from bridge.event import Event
from bridge.ledger import Letter
from bridge.local_database.ledger_table import LedgerTable
from tests.dashboard.browser import chromium
from tests.dashboard.page_client import on_broker
from tests.dashboard.page_site import PASSWORDS, SETTINGS, dashboard_toml
from tests.events import new_event
from tests.ports import free_port

LETTERS, CAUSES = 100_000, 40
QUEUES = ("mail", "orders", "default")
TIMES = 10
GOAL = "≤ 0.2"
PROGRAM = str(Path(sys.executable).with_name("bridge-web"))


def measure(directory: Path, scale: Scale) -> Table:
    """Start the page again in each round. Return for each screen the time of its first request and of later ones."""
    url = f"sqlite:///{directory}/bridge.db"
    (directory / "bridge.toml").write_text(f'broker_url = "{url}"\n{SETTINGS}{dashboard_toml()}')
    settings = load_settings(environ={}, file=str(directory / "bridge.toml"))
    on_broker(settings, lambda broker: broker.declare(settings.queues()))
    _fill(directory / "bridge.db")
    taken: dict[str, dict[str, list[float]]] = {}
    painted: dict[str, list[float]] = {}
    with members(url):
        for _ in range(scale.rounds):
            with _page(directory) as page:
                _ask_each(page, taken)
                _paint_each(page, painted)
    rows: list[Row] = [
        (
            "screen",
            "first request, s",
            "while the ledger is read, s",
            "later, s",
            "worst, s",
            "first paint, s",
            "goal, s",
        )
    ]
    for name, times in taken.items():
        later = times["later"]
        rows.append(
            (
                name,
                *(_text(times.get(when)) for when in ("first", "reading", "later")),
                f"{max(later):.3f}",
                _text(painted.get(name)),
                GOAL,
            )
        )
    load, *_ = os.getloadavg()
    return Table(
        f"The page with {LETTERS:,} dead letters and {WORKERS} workers",
        f"`bridge-web` on SQLite: {LETTERS:,} open letters of {CAUSES} causes, {WORKERS} workers with {SLOTS} running "
        "events each. A time is that of one HTTP request on this machine; medians. The first request comes as soon as "
        "bridge-web says where the page is. *First paint* is what Chromium measures from the beginning of the "
        "navigation, without a cache (`performance.getEntriesByType('paint')`). The load of the machine was "
        f"{load:.1f} at the end.",
        rows,
    )


def _text(times: list[float] | None) -> str:
    return f"{statistics.median(times):.3f}" if times else "–"


def _fill(file: Path) -> None:
    """Write the letters straight into the ledger's table: by workers it would take minutes."""
    now = datetime.now(UTC)
    with closing(sqlite3.connect(file)) as connection, connection:
        table = LedgerTable(connection, "bridge.ledger")
        for number in range(LETTERS):
            table.append_letter(_letter(number, now - timedelta(seconds=(LETTERS - number) / 10)))


def _letter(number: int, time: datetime) -> Letter:
    cause, queue = number % CAUSES, QUEUES[number % len(QUEUES)]
    event: Event = new_event(f"mail.kind{cause % 7}", b'{"to": "ann", "n": %d}' % number)._replace(time=time)
    trace = f'Traceback (most recent call last):\n  File "/srv/shop/shop.py", line {cause}, in send{cause}\n'
    error = Error(f"shop.Error{cause}", f"order {number} of customer {number * 7} failed", trace)
    attempt = Attempt(1, 1, time, 0.1, f"v{cause % 3}", "failed", error)
    return Letter(time, queue, "attempts used up", Envelope(event, time, attempts=(attempt,)), error)


class _Page:
    """A `bridge-web`, and a user's session on it."""

    def __init__(self, port: int) -> None:
        self.port = port
        form = urlencode({"name": "ana", "password": PASSWORDS["ana"]})
        answer = self._ask("POST", "/sign-in", form, {"Content-Type": "application/x-www-form-urlencoded"})
        self._cookie = str(answer[1]).partition(";")[0]

    def get(self, path: str) -> tuple[float, str]:
        """Return the seconds that a screen takes, and its text."""
        began = time.perf_counter()
        text, _ = self._ask("GET", path, None, {"Cookie": self._cookie})
        return time.perf_counter() - began, text

    def _ask(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> tuple[str, str | None]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
            if answer.status >= 400:
                raise RuntimeError(f"{path}: {answer.status} {text[:500]}")
            return text, answer.getheader("Set-Cookie")


@contextmanager
def _page(directory: Path) -> Iterator[_Page]:
    port = free_port()
    command = [PROGRAM, "--listen", f"127.0.0.1:{port}"]
    environment = {**os.environ, "BRIDGE_CONFIG": str(directory / "bridge.toml")}
    process = subprocess.Popen(command, cwd=directory, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        while "The page is at" not in (line := process.stdout.readline()):
            if not line:
                raise RuntimeError("bridge-web did not start")
        yield _Page(port)
    finally:
        process.terminate()
        process.communicate()


def _ask_each(page: _Page, taken: dict[str, dict[str, list[float]]]) -> None:
    def note(name: str, when: str, path: str) -> str:
        seconds, text = page.get(path)
        taken.setdefault(name, {}).setdefault(when, []).append(seconds)
        return text

    note("Now", "first", "/")
    while f'"open": {LETTERS}' not in page.get("/now.json")[1] or '"read": true' not in page.get("/now.json")[1]:
        for name, path in (("Now", "/"), ("Pool", "/pool"), ("Failing", "/failing")):
            note(name, "reading", path)
        time.sleep(0.2)
    for _ in range(TIMES):
        for name, path in _screens(page):
            note(name, "later", path)


def _screens(page: _Page) -> list[tuple[str, str]]:
    found = re.search(r'"group": "([0-9a-f]+)"', page.get("/failing.json")[1])
    assert found is not None
    return [
        ("Now", "/"),
        ("Pool", "/pool"),
        ("Failing", "/failing"),
        ("A group", f"/failing/{found[1]}"),
        ("A letter", f"/letters/{LETTERS // 2}"),
        ("Event, newest", "/event"),
        ("Redrive", "/redrive"),
        ("Redrive a group?", f"/acts/redrive?group={found[1]}"),
        ("Redrive all?", "/acts/redrive"),
    ]


def _paint_each(page: _Page, painted: dict[str, list[float]]) -> None:
    script = (
        "return performance.getEntriesByType('paint').filter(e => e.name == 'first-contentful-paint')[0]?.startTime"
    )
    with chromium(f"http://127.0.0.1:{page.port}") as browser:
        browser.sign_in("ana")
        browser.driver.execute_cdp_cmd("Network.setCacheDisabled", {"cacheDisabled": True})
        for name, path in _screens(page) * 3:
            browser.open(path)
            browser.await_(lambda: browser.run(script) is not None, "nothing was painted")
            painted.setdefault(name, []).append(browser.run(script) / 1000)
