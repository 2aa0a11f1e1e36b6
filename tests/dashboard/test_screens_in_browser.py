"""All screens in a real browser: what fails and its redrive, an event that is ended, accessibility, sizes, pictures."""

import asyncio
import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest

from tests.dashboard.browser import Browser
from tests.dashboard.page_site import PageSite, axe, until
from tests.deadlines import within
from tests.events import new_event
from tests.journey.site import PROGRAMS, Site
from tests.limits import PATIENCE

pytestmark = pytest.mark.browser

FAILED = 4


def defer(site: Site, name: str, count: int, data: bytes = b"{}") -> list[str]:
    """Defer so many events, and return their ids."""

    async def deferred() -> list[str]:
        events = [new_event(name, data) for _ in range(count)]
        async with site.broker() as broker:
            publisher = broker.publisher()
            await asyncio.gather(*(publisher.publish(event, deadline=within(PATIENCE)) for event in events))
            await publisher.close()
        return [event.id for event in events]

    return asyncio.run(deferred())


@pytest.fixture(scope="module")
def busy(shop: PageSite) -> Iterator[str]:
    """The shop with failures, deliveries, and a report that runs; return the id of the report's event."""
    defer(shop.site, "order.paid", 40)
    defer(shop.site, "mail.welcome", FAILED, json.dumps({"to": "<script>alert(1)</script>"}).encode())
    [report] = defer(shop.site, "report.monthly", 1)
    until(lambda: len(asyncio.run(shop.site.letters())) == FAILED, lambda: shop.worker.log)
    yield report
    (shop.directory / "report-may-end").touch()
    (shop.directory / "provider-is-back").unlink(missing_ok=True)


@pytest.mark.long
def test_axe_finds_nothing(busy: str, browser: Browser) -> None:
    """On each screen, light and dark, on a phone and on a wide screen, axe-core finds no breach of WCAG 2.2 AA."""
    script = axe()
    if script is None:
        pytest.skip("axe-core is not installed: scripts/install-browser.sh")
    browser.sign_in("ana")
    browser.open("/failing")
    group = browser.attribute_of(".groups li", "id").removeprefix("group-")
    child = path_of_child(browser)
    paths = ["/", "/pool", child, "/failing", f"/failing/{group}", "/event", f"/event?id={busy}", "/redrive"]
    paths += [f"/acts/redrive?group={group}", f"/acts/quiet?group={group}", "/acts/pause?queue=mail", "/letters/1"]
    paths += ["/acts/edit?number=1", "/acts/erase?number=1", "/acts/purge?queue=mail"]
    for width, scheme in ((1280, "light"), (360, "dark")):
        browser.be(width, scheme=scheme)
        for path in paths:
            browser.open(path)
            browser.await_element("main h1")
            assert_accessible(browser, script, f"{path} at {width} in {scheme}")
    assert browser.complaints() == []


def path_of_child(browser: Browser) -> str:
    """Return the path of the screen of the child that runs the report."""
    browser.open("/pool")
    return browser.attribute_of(".worker td.act a", "href").removeprefix(browser.url)


def assert_accessible(browser: Browser, script: str, where: str) -> None:
    """Fail with axe-core's findings, if it has any."""
    browser.run(script)
    found = browser.run_async(
        "const done = arguments[0];"
        "axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']}).then("
        "r => done(r.violations.map(v => v.id + ': ' + v.nodes.map(n => n.html + ' ' + n.failureSummary).join('; '))))"
    )
    assert found == [], where


@pytest.mark.parametrize("width", [360, pytest.param(768, marks=pytest.mark.long), 2560])
def test_nothing_is_wider_than_the_screen(busy: str, browser: Browser, width: int) -> None:
    """No screen scrolls to the side."""
    browser.sign_in("ana")
    browser.be(width)
    for path in ("/", "/pool", "/failing", f"/event?id={busy}", "/redrive", "/letters/1"):
        browser.open(path)
        browser.await_element("main h1")
        assert browser.run("return document.documentElement.scrollWidth") <= width, path


LOOKS = ((1280, 800, "light", ""), (1280, 800, "dark", ""), (390, 844, "dark", "-phone"))


def shoot(browser: Browser, to: Path, pages: Mapping[str, str]) -> None:
    """Save pictures of these pages, by name: light, dark, and on a phone."""
    for width, height, scheme, size in LOOKS:
        browser.be(width, height, scheme)
        for name, path in pages.items():
            browser.open(path)
            browser.await_element("main h1")
            browser.shoot(to / f"page-{name}{size}-{scheme}.png")
    browser.be(1280)


@pytest.mark.long
def test_pictures(busy: str, browser: Browser, tmp_path: Path) -> None:
    """Pictures of the screens; with the environment variable PICTURES in that directory, for docs/."""
    to = Path(os.environ.get("PICTURES", tmp_path))
    browser.sign_in("ana")
    browser.open("/failing")
    group = browser.attribute_of(".groups li", "id").removeprefix("group-")
    pages = {"now": "/", "pool": "/pool", "failing": "/failing", "group": f"/failing/{group}"}
    pages |= {"edit": "/acts/edit?number=1"}  # no stacks: they have the paths of this machine
    shoot(browser, to, {**pages, "event": "/event?id=" + busy, "question": f"/acts/redrive?group={group}"})
    assert len(list(to.glob("page-*.png"))) >= 21


def test_the_newest_attempts_are_filtered(shop: PageSite, busy: str, browser: Browser) -> None:
    """By the form: the attempts that died are all of mails, in rows that lead to their events."""
    browser.sign_in("sam")
    browser.open("/event")
    browser.fill("name", "mail.#")
    browser.choose("outcome", "dead")
    browser.run("document.querySelector('#newest + form button').click()")

    browser.await_(lambda: "outcome=dead" in browser.driver.current_url, "the form was not sent")
    browser.await_(lambda: len(browser.texts_of("tbody tr")) == FAILED, "the attempts were not filtered")
    assert set(browser.texts_of("tbody th")) == {"mail.welcome"}


def test_letters_are_redriven_and_seen_to_live(shop: PageSite, busy: str, browser: Browser) -> None:
    """From the group of a failure: a plan whose first letter dies again is aborted; after the repair it is resumed,
    and nothing fails any more."""
    browser.sign_in("ola")
    browser.open("/failing")
    browser.click(".groups a")
    browser.shows("the provider is away")
    browser.shows("shop/shop.py welcome")
    browser.press(f"Redrive {FAILED}")
    browser.fill("canary", "1")
    browser.fill("why", "is it back?")
    browser.press("Redrive")
    browser.shows("the failure is back: 1 of 1 events failed as before")
    assert len(asyncio.run(shop.site.letters())) == FAILED

    (shop.directory / "provider-is-back").touch()
    browser.press("Resume")
    browser.fill("why", "it is back")
    browser.press("Resume")
    browser.shows("3 delivered")
    browser.open("/failing")
    browser.click(".groups a")
    if "PICTURES" in os.environ:
        shoot(browser, Path(os.environ["PICTURES"]), {"redrive": "/redrive"})
        browser.open("/failing")
        browser.click(".groups a")
    browser.press("Redrive 1")
    browser.fill("rate", "1000/s")
    browser.fill("why", "the rest")
    browser.press("Redrive")
    browser.shows("1 of 1 put back: 1 delivered")
    assert asyncio.run(shop.site.letters()) == []
    browser.open("/failing")
    browser.shows("Nothing fails.")


def test_the_pool_shows_where_a_child_is(shop: PageSite, busy: str, browser: Browser) -> None:
    """The stacks of the child that runs the report, as bridge-status shows them; the report goes on."""
    browser.sign_in("sam")
    browser.open("/pool")
    browser.press("Stacks")
    browser.await_(partial(_shows_report, browser), "no stacks came")
    browser.shows("What runs in the child goes on.")
    browser.await_element(f"a[href='/event?id={busy}']")
    browser.press("Ask again")
    browser.await_element("h1")
    pid = browser.driver.current_url.rpartition("/")[2].rstrip("?")

    def in_terminal() -> str:
        command = [str(PROGRAMS / "bridge-status"), "--stacks", pid]
        run = subprocess.run(command, cwd=shop.directory, env=shop.site.environment, capture_output=True, check=False)
        return run.stdout.decode()

    until(lambda: "shop.py" in in_terminal(), in_terminal)
    browser.open("/pool")
    browser.shows("3 of 10, adding up the orders")
    assert browser.complaints() == []


def _shows_report(browser: Browser) -> bool:
    """Return whether the stacks name the listener; if not, ask again: a child without CPU writes none in time."""
    found = "in report" in browser.text
    if not found:
        browser.press("Ask again")
    return found


@pytest.mark.parametrize("fault", ["wrong address", "no network"])
def test_a_screen_that_cannot_be_refreshed_says_so(busy: str, browser: Browser, fault: str) -> None:
    """With the time of what it shows, until a refresh succeeds."""
    browser.sign_in("sam")
    browser.await_element("#live")
    assert not browser.texts_of("#stale")[0]
    offline = {"offline": fault == "no network", "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    browser.driver.execute_cdp_cmd("Network.enable", {})
    browser.driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    if fault == "wrong address":
        browser.run("document.getElementById('live').setAttribute('hx-get', '/nowhere')")
    browser.await_(
        lambda: re.fullmatch(r"Not refreshed since \d\d:\d\d:\d\d UTC\.", browser.text_of("#stale")), "it says nothing"
    )

    browser.driver.execute_cdp_cmd("Network.emulateNetworkConditions", {**offline, "offline": False})
    browser.run("document.getElementById('live').setAttribute('hx-get', '/')")
    browser.await_(lambda: not browser.text_of("#stale"), "it still says so")
    named = browser.complaints()  # the console names the failed requests
    assert not [each for each in named if "page.js" in each]


def test_a_running_event_is_ended(shop: PageSite, busy: str, browser: Browser) -> None:
    """The pool shows the event with its progress; ending it kills its child, and its line of time says who and why."""
    browser.sign_in("ola")
    browser.open("/pool")
    browser.shows("3 of 10, adding up the orders")
    browser.press("End")
    browser.shows("its child")
    browser.fill("why", "it hangs")
    browser.press("End the event")
    browser.shows("cancelled by ola@page: it hangs")
