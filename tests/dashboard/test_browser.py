"""The browser of these tests: it uses a page that goes away meanwhile, and a dead browser is an error."""

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.remote.webelement import WebElement

from tests.dashboard.browser import Browser, chromium, has_moved_on

pytestmark = [pytest.mark.browser, pytest.mark.long]

RELOADS = 60
"""The page reloads itself so many times, and stays then."""
WORDS = "<p>word</p>" * 300


class Restless(BaseHTTPRequestHandler):
    """Serves a page that reloads itself soon, and at last stays."""

    served = 0

    def do_GET(self) -> None:
        """Send the page."""
        kind = type(self)
        kind.served += 1
        again = f"setTimeout(() => location.reload(), {random.uniform(1, 30)})" if kind.served <= RELOADS else ""
        page = f"<!doctype html><title>restless</title><body><main>{WORDS}<input name='why'><a href='#x'>Press</a>"
        if not again:
            page += "<p>at rest</p>"
        body = f"{page}</main><script>{again}</script>".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class Server(ThreadingHTTPServer):
    """Serves the page. Chromium often hangs up on it."""

    def handle_error(self, *_: object) -> None:
        """Ignore it."""


@pytest.fixture
def url() -> Iterator[str]:
    """Serve a page that reloads itself; return its address."""
    Restless.served = 0
    with Server(("127.0.0.1", 0), Restless) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_page_that_goes_away_is_read_again(url: str) -> None:
    """The browser reads text, finds elements, fills fields, presses buttons and runs scripts, while the page reloads
    itself all the time."""
    with chromium(url) as browser:
        browser.open()
        while Restless.served <= RELOADS:
            assert "word" in browser.text
            browser.await_element("input")
            browser.fill("why", "because")
            browser.press("Press")
            browser.click("main a")
            assert browser.attribute_of("input", "name") == "why"
            assert browser.run("return document.title") == "restless"
        browser.shows("at rest")


@pytest.mark.parametrize("works", [True, False])
def test_a_click_whose_answer_is_lost(url: str, monkeypatch: pytest.MonkeyPatch, works: bool) -> None:
    """It is done again only if it has not worked."""
    Restless.served = RELOADS
    answers = [WebDriverException("aborted by navigation")]
    real_click = WebElement.click

    def click(element: WebElement) -> None:
        if works or not answers:
            real_click(element)
        if answers:
            raise answers.pop()

    monkeypatch.setattr(WebElement, "click", click)
    with chromium(url) as browser:
        browser.open()
        browser.run("window.clicks = 0; addEventListener('click', () => window.clicks++)")
        browser.press("Press")
        assert browser.run("return window.clicks") == 1
        browser.click("main a")
        assert browser.run("return window.clicks") == 2
    assert not answers


def test_a_dead_browser_is_an_error(url: str) -> None:
    """At once, and not after the time that a page has to show something."""
    with chromium(url) as browser:
        browser.open()
        os.kill(pid_of(browser), signal.SIGKILL)
        began = time.monotonic()
        with pytest.raises(WebDriverException) as caught:
            browser.shows("what never comes")
    assert not has_moved_on(caught.value)
    assert time.monotonic() - began < 60


INSPECTOR = "unknown error: unhandled inspector error: "


@pytest.mark.parametrize(
    ("answer", "moved_on"),
    [
        (INSPECTOR + '{"code":-32000,"message":"Node with given id does not belong to the document"}', True),
        (INSPECTOR + '{"code":-32000,"message":"Cannot find context with specified id"}', True),
        ("aborted by navigation: Inspected target navigated or closed", True),
        (INSPECTOR + '{"code":-32602,"message":"Invalid parameters"}', False),
        ("disconnected: not connected to DevTools", False),
        ("invalid session id", False),
        ("tab crashed", False),
    ],
)
def test_an_answer_about_a_page_that_went_away(answer: str, moved_on: bool) -> None:
    """It is told from other answers, although ChromeDriver has no exception for it and seldom gives it."""
    assert has_moved_on(WebDriverException(answer)) is moved_on


def pid_of(browser: Browser) -> int:
    """Return the process id of the browser itself, which ChromeDriver tells as a capability."""
    found: int = browser.driver.capabilities["goog:processID"]
    return found
