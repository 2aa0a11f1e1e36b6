"""`make demo`, as a new user runs it, on each broker: its sums balance."""

import re
import signal
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guard import Guard
from tests.journey.conftest import BROKERS
from tests.journey.site import Program, eventually

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=BROKERS)
def broker_arguments(request: pytest.FixtureRequest) -> list[str]:
    """The arguments that `make demo` and `make demo BROKER=…` pass on."""
    return [] if request.param == "sqlite" else ["--broker-url", request.getfixturevalue("rabbitmq_url")]


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    """A guard that ends the processes that the demo may leave."""
    guard = Guard(tmp_path)
    yield guard
    guard.clear()


async def test_the_page_stays_with_the_data_of_the_demo(tmp_path: Path, guard: Guard) -> None:
    """The printed user signs in there and sees its dead letters. Ctrl-C ends everything."""
    environment = {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path), **guard.environment}
    demo = Program([sys.executable, "-m", "examples.demo", "--page"], tmp_path, environment)
    await demo.says("Ctrl-C ends it.")
    printed = re.search(r"The page is at (\S+): user (\S+), password (\S+)", demo.log)
    assert printed is not None
    url, user, password = printed.groups()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor())
    form = urllib.parse.urlencode({"name": user, "password": password}).encode()
    opener.open(urllib.request.Request(opener.open(url).url, form, {"Origin": url.rstrip("/")}))
    await eventually(lambda: b"dead and" in opener.open(f"{url}failing").read())
    demo.signal(signal.SIGINT)
    assert await demo.ended() == 130


async def test_the_demo_accounts_for_every_event(broker_arguments: list[str], tmp_path: Path, guard: Guard) -> None:
    """The demo exits with 0; some events are delivered after retries, and some are dead-lettered."""
    environment = {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path), **guard.environment}
    demo = Program([sys.executable, "-m", "examples.demo", *broker_arguments], tmp_path, environment)
    assert await demo.ended() == 0, demo.log
    figures = {name.strip(): int(count) for name, count in re.findall(r"(?m)^([a-z -]+?)  +(\d+)\b", demo.log)}
    assert figures["unaccounted for"] == 0
    assert figures["delivered after retries"] > 0
    assert figures["dead-lettered"] > 0
    parts = ("delivered at first try", "delivered after retries", "dead-lettered")
    assert figures["deferred"] == sum(figures[part] for part in parts)
