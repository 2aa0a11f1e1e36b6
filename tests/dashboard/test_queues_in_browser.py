"""Sign in, see the queues, pause and resume one: in a real browser, with and without JavaScript."""

import json
import subprocess
from functools import partial
from typing import Any

import pytest

from tests.dashboard.browser import Browser, chromium
from tests.dashboard.page_site import PageSite
from tests.journey.site import PROGRAMS

pytestmark = pytest.mark.browser


def bridge_queues(shop: PageSite, *words: str) -> str:
    """Run `bridge-queues` with these words; return its output."""
    command = [str(PROGRAMS / "bridge-queues"), *words]
    run = subprocess.run(command, cwd=shop.directory, env=shop.site.environment, capture_output=True, check=True)
    return run.stdout.decode()


def pauses_of(shop: PageSite, queue: str) -> Any:
    """Return the pauses of a queue as `bridge-queues show` has them."""
    return json.loads(bridge_queues(shop, "show", queue, "--json", "--over", "10ms"))["pauses"]


def test_nobody_is_let_in_with_a_wrong_password(shop: PageSite, browser: Browser) -> None:
    """A wrong password shows the sign-in again, with a message and without a session."""
    browser.open("/pool")

    browser.fill("name", "ana")
    browser.fill("password", "password-of-ola")
    browser.press("Sign in")

    browser.shows("Wrong name or password.")
    assert browser.driver.get_cookies() == []


def test_a_queue_is_paused_and_resumed(shop: PageSite, browser: Browser) -> None:
    """The pause asks in numbers, has who and why, and holds for the programs too; the page shows it and resumes it."""
    browser.sign_in("ola")
    browser.click("#queue-mail .act a")
    browser.shows("Pause queue mail?")
    browser.shows("events are ready now and wait")
    browser.fill("for", "1h")
    browser.fill("why", "the provider is <b>away</b>")
    browser.press("Pause")

    browser.shows("Paused queue mail.")
    browser.shows("paused by ola@page until")
    [pause] = pauses_of(shop, "mail")
    assert (pause["who"], pause["why"]) == ("ola@page", "the provider is <b>away</b>")

    browser.await_(lambda: "Resume" in browser.text_of("#queue-mail .act"), "no button Resume")
    browser.click("#queue-mail .act a")
    browser.shows("Resume queue mail?")
    browser.fill("why", "it is back")
    browser.press("Resume")
    browser.shows("Resumed queue mail.")
    assert pauses_of(shop, "mail") == []
    assert browser.complaints() == []


def test_the_page_changes_in_place(shop: PageSite, browser: Browser) -> None:
    """A pause by a program appears without a reload, and the rows of the table stay the same elements."""
    browser.sign_in("sam")
    browser.await_element("#queue-orders")
    browser.run("document.getElementById('queue-orders').marked = true")

    bridge_queues(shop, "pause", "orders", "--why", "a test")
    try:
        browser.shows("a test")
        assert browser.run("return document.getElementById('queue-orders').marked") is True
    finally:
        bridge_queues(shop, "resume", "orders")


def test_the_page_waits_while_nobody_sees_it(shop: PageSite, browser: Browser) -> None:
    """A hidden page holds its requests, and goes on when it is seen again."""
    browser.sign_in("sam")
    browser.await_element("#live")
    browser.run(
        "window.asked = []; window.isHidden = true;"
        "Object.defineProperty(document, 'hidden', {get: () => window.isHidden});"
        "document.addEventListener('htmx:before:request', event => window.asked.push(event.defaultPrevented))"
    )

    browser.await_(lambda: browser.run("return window.asked.includes(true)"), "no request was due")
    assert browser.run("return window.asked.includes(false)") is False
    browser.run("window.isHidden = false")
    browser.await_(lambda: browser.run("return window.asked.includes(false)"), "no request went out")


def test_a_page_whose_session_ends_leads_to_the_sign_in(shop: PageSite, browser: Browser) -> None:
    """The page does not go on showing what is old."""
    browser.sign_in("sam")
    browser.await_element("#live")

    browser.driver.delete_all_cookies()

    browser.await_element("input[type=password]")


@pytest.mark.long
def test_the_page_works_without_javascript(shop: PageSite) -> None:
    """Without JavaScript a person signs in, pauses and resumes."""
    with chromium(shop.url, scripts=False) as browser:
        browser.sign_in("ola")
        for act in ("Pause", "Resume"):
            browser.await_(partial(_offers, browser, act), f"no button {act}")
            browser.click("#queue-orders .act a")
            browser.fill("why", "no script")
            browser.press(act)
            browser.shows(f"{act}d queue orders.")


def _offers(browser: Browser, act: str) -> bool:
    """Open the page, and return whether the queue of orders has this act."""
    browser.open("/")
    return act in browser.text_of("#queue-orders .act a")
