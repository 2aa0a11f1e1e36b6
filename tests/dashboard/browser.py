"""A Chromium, as the tests of the page use it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from selenium import webdriver
from selenium.common.exceptions import (
    NoSuchElementException,
    StaleElementReferenceException,
    WebDriverException,
)
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select

from tests.dashboard.page_site import PASSWORDS
from tests.limits import PATIENCE

FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage")
MOVED_ON = ("aborted by navigation", 'unhandled inspector error: {"code":-32000,')
"""The answers of ChromeDriver, besides those with an exception of their own, to a command about a page or an element
that has just gone. A browser that has gone has other answers."""
Found = TypeVar("Found")
NOTE_CLICK = """
const [element, number] = arguments;
element.addEventListener("click", () => sessionStorage.setItem("clicked", number), {capture: true, once: true});
"""
"""Keeps the number of the newest click in sessionStorage, which a click that leads to another page leaves as it is."""


def has_moved_on(error: WebDriverException) -> bool:
    """Return True if a command failed because the page was navigating, or was replacing the element, meanwhile."""
    gone = isinstance(error, (StaleElementReferenceException, NoSuchElementException))
    return gone or any(answer in str(error) for answer in MOVED_ON)


class Browser:
    """A browser that knows the page at `url`."""

    def __init__(self, driver: webdriver.Chrome, url: str) -> None:
        self.driver = driver
        self.url = url
        self._clicks = 0

    def open(self, path: str = "/") -> None:
        """Open a path of the page."""
        self.driver.get(self.url + path)

    def sign_in(self, name: str, path: str = "/") -> None:
        """Open a path as this user."""
        self.driver.delete_all_cookies()
        self.open(path)
        self.fill("name", name)
        self.fill("password", PASSWORDS[name])
        self.press("Sign in")
        self.await_element("nav")

    def fill(self, field: str, text: str) -> None:
        """Write into a field of a form, as soon as it is there."""

        def write() -> None:
            found = self.driver.find_element(By.NAME, field)
            found.clear()
            found.send_keys(text)

        self.do(write, f"no field {field!r}")

    def choose(self, field: str, text: str) -> None:
        """Choose what is listed by this text in a field of a form."""
        self.do(
            lambda: Select(self.driver.find_element(By.NAME, field)).select_by_visible_text(text), f"no field {field!r}"
        )

    def press(self, text: str) -> None:
        """Press the button, or follow the link, whose text begins so."""
        path = f"//main//*[self::a or self::button][starts-with(normalize-space(.), '{text}')]"
        self._click_once(lambda: self.driver.find_element(By.XPATH, path), f"no button {text!r}")

    def click(self, selector: str) -> None:
        """Click on the element that a CSS selector names, as soon as it is there."""
        self._click_once(lambda: self._first(selector), f"no {selector}")

    def await_element(self, selector: str) -> None:
        """Wait until the page has an element that a CSS selector names."""
        self.do(lambda: self._first(selector), f"no {selector}")

    def text_of(self, selector: str) -> str:
        """Return the visible text of the element that a CSS selector names, as soon as it is there."""
        return self.do(lambda: self._first(selector).text, f"no {selector}")

    def texts_of(self, selector: str) -> list[str]:
        """Return the visible text of each element that a CSS selector names now."""
        return self.do(
            lambda: [each.text for each in self.driver.find_elements(By.CSS_SELECTOR, selector)], f"no {selector}"
        )

    def attribute_of(self, selector: str, name: str) -> str:
        """Return an attribute of the element that a CSS selector names, as soon as it is there."""
        return self.do(lambda: self._first(selector).get_attribute(name) or "", f"no {selector}")

    @property
    def text(self) -> str:
        """The visible text of the page."""
        return self.text_of("body")

    def shows(self, text: str) -> None:
        """Wait until the page shows this text."""
        self.await_(lambda: text in self.text, f"the page does not show {text!r}")

    def await_(self, holds: Callable[[], object], why: str) -> None:
        """Wait until a condition holds. A page that moves on meanwhile is asked again."""
        end = time.monotonic() + PATIENCE
        while True:
            moved_on = None
            try:
                if holds():
                    return
            except WebDriverException as error:
                if not has_moved_on(error):
                    raise
                moved_on = error
            if time.monotonic() > end:
                raise AssertionError(why) from moved_on
            time.sleep(0.05)

    def do(self, act: Callable[[], Found], why: str) -> Found:
        """Do something with the page, and return what that returns. If the page moves on meanwhile, it is done again
        with the page that has come: ChromeDriver does so itself, but not in all cases."""
        found: list[Found] = []

        def done() -> bool:
            found.append(act())
            return True

        self.await_(done, why)
        return found[0]

    def run(self, script: str, *arguments: Any) -> Any:
        """Run JavaScript in the page, as a tester may although the page's policy forbids it to others."""
        return self.do(lambda: self.driver.execute_script(script, *arguments), "the script did not end")

    def run_async(self, script: str) -> Any:
        """Run JavaScript in the page that calls its last argument at its end; return what it calls that with."""
        return self.do(lambda: self.driver.execute_async_script(script), "the script did not end")

    def _click_once(self, find: Callable[[], WebElement], why: str) -> None:
        """Click on what `find` returns, as soon as it is there. A click that has worked may have an answer of a page
        that moved on: then it is not done again, on a page where it would be a second act. Without JavaScript it is."""
        self._clicks += 1
        number = str(self._clicks)

        def click() -> None:
            if self.driver.execute_script("return sessionStorage.getItem('clicked')") != number:
                element = find()
                self.driver.execute_script(NOTE_CLICK, element, number)
                element.click()

        self.do(click, why)

    def _first(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def be(self, width: int, height: int = 900, scheme: str = "light") -> None:
        """Change the size of the window, and the color scheme that the user prefers."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def complaints(self) -> list[str]:
        """Return the errors of the console since the last call, such as breaches of the content policy."""
        entries: list[dict[str, str]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [each["message"] for each in entries if each["level"] in ("SEVERE", "WARNING")]

    def shoot(self, file: Path) -> None:
        """Save a picture of the window."""
        file.parent.mkdir(parents=True, exist_ok=True)
        assert self.do(lambda: self.driver.save_screenshot(str(file)), f"no picture {file}")


@contextmanager
def chromium(url: str, *, scripts: bool = True) -> Iterator[Browser]:
    """Start a Chromium; without `scripts` it runs no JavaScript."""
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    if not scripts:
        blocked = {"profile.managed_default_content_settings.javascript": 2}
        options.add_experimental_option("prefs", blocked)
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    try:
        yield Browser(driver, url)
    finally:
        driver.quit()
