"""docs/failing-event.md, followed as a newcomer does: its files and commands, and in a real browser what it does on the
page. It makes the pictures of that page."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dashboard.browser import Browser, chromium
from tests.dashboard.page_site import PASSWORDS
from tests.guard import Guard
from tests.journey.page_follower import Follower
from tests.journey.site import PROGRAMS
from tests.ports import free_ports
from tests.unit.docs.markdown import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.long, pytest.mark.timeout(900)]

PAGE = ROOT / "docs" / "failing-event.md"
PASSWORD = PASSWORDS["ana"]


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    """A guard that ends the processes of the test."""
    guard = Guard(tmp_path)
    yield guard
    guard.clear()


class Visitor:
    """Does on the page what docs/failing-event.md says before each picture, and takes the picture."""

    def __init__(self, browser: Browser, pictures: Path) -> None:
        self._browser = browser
        self._pictures = pictures
        self.seen: list[str] = []

    def look(self, name: str) -> None:
        """Do what is shown in the picture of this name."""
        acts = {
            "failing": self._failing,
            "group": self._group,
            "question": self._question,
            "running": self._running,
            "done": self._done,
        }
        acts[name]()
        self._browser.shoot(self._pictures / f"walk-{name}.png")
        self.seen.append(name)

    def _failing(self) -> None:
        self._browser.be(1280, 560)
        self._browser.sign_in("ana", "/failing")
        self._browser.shows("AttributeError")

    def _group(self) -> None:
        self._browser.be(1280, 900)
        self._browser.click(".groups a")
        self._browser.press("12")
        self._browser.shows("bridge-dlq replay 12 --app APP")
        self._browser.press("group")
        self._browser.shows('name = event.payload["email"].partition("@")[0]')
        self._browser.shows("Redrive 12")

    def _question(self) -> None:
        self._browser.be(1280, 1000)
        self._browser.press("Redrive 12")
        self._browser.shows("Redrive 12 dead letters?")
        self._browser.fill("canary", "2")
        self._browser.fill("rate", "2/s")
        self._browser.fill("why", "an account may have no address")

    def _running(self) -> None:
        self._browser.be(1280, 700)
        self._browser.press("Redrive")
        self._browser.shows(" of 12 put back")
        self._browser.await_(lambda: "0 of 12 put back" not in self._browser.text, "nothing is put back")

    def _done(self) -> None:
        self._browser.shows("12 of 12 put back: 12 delivered, 0 failed again")


def is_installation(line: str) -> bool:
    """The test of the wheel installs it; here the programs of this environment are used."""
    return line.startswith(("mkdir shop", "python3 -m venv", ". .venv", "pip install"))


def test_the_page_about_a_failing_event_can_be_followed(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, guard: Guard
) -> None:
    """From the failure to the redrive: each command works and prints what is shown, and each picture can be taken. With
    the environment variable PICTURES in that directory, for docs/."""
    shop = tmp_path_factory.mktemp("site", numbered=False) / "shop"  # a short path, for the pictures
    shop.mkdir()
    flask, web = free_ports(2)
    with chromium(f"http://127.0.0.1:{web}") as browser:
        visitor = Visitor(browser, Path(os.environ.get("PICTURES", tmp_path)))
        follower = Follower(
            shop,
            {
                **os.environ,
                **guard.environment,
                "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
                "BRIDGE_CONTROL_DIRECTORY": str(tmp_path / "control"),
                "BRIDGE_PUBLISH_TIMEOUT": "60s",  # of a loaded machine
                "NO_PROXY": "*",
                "COLUMNS": "200",
                "TERM": "dumb",
            },
            {
                "--port 5000": f"--port {flask}",
                ":5000/": f":{flask}/",
                ":8090/": f":{web}/",
                "bridge-web\n": f"bridge-web --listen 127.0.0.1:{web}\n",
                "/home/ann/shop": str(shop),
            },
            is_installation,
            answers={
                "bridge-dlq replay 1 --app shop:app --pdb": [("(Pdb) ", "p event.payload"), ("(Pdb) ", "q")],
                "bridge-web user ana --role edit >> bridge.toml": [
                    ("Password of ana: ", PASSWORD),
                    ("Repeat for confirmation: ", PASSWORD),
                ],
            },
            look=visitor.look,
        )
        follower.follow(PAGE.read_text("utf-8"))
    assert visitor.seen == ["failing", "group", "question", "running", "done"]
    assert len(follower.typed) > 15
