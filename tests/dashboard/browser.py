"""A Chromium, as the tests of the page use it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from tests.dashboard.page_site import PASSWORDS

PATIENCE = 120.0
"""Seconds to wait, on a loaded machine."""
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage")


class Browser:
    """A browser that knows the page at `url`."""

    def __init__(self, driver: webdriver.Chrome, url: str) -> None:
        self.driver = driver
        self.url = url

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
        self.find("nav")

    def fill(self, field: str, text: str) -> None:
        """Write into a field of a form."""
        found = self.driver.find_element(By.NAME, field)
        found.clear()
        found.send_keys(text)

    def press(self, text: str) -> None:
        """Press the button, or follow the link, whose text begins so."""
        path = f"//main//*[self::a or self::button][starts-with(normalize-space(.), '{text}')]"
        self.await_(lambda: self.driver.find_elements(By.XPATH, path), f"no button {text!r}")
        self.driver.find_element(By.XPATH, path).click()

    def find(self, selector: str) -> WebElement:
        """Return the element that a CSS selector names, as soon as it is there."""
        self.await_(lambda: self.driver.find_elements(By.CSS_SELECTOR, selector), f"no {selector}")
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    @property
    def text(self) -> str:
        """The visible text of the page."""
        return self.driver.find_element(By.TAG_NAME, "body").text

    def shows(self, text: str) -> None:
        """Wait until the page shows this text."""
        self.await_(lambda: text in self.text, f"the page does not show {text!r}")

    def await_(self, holds: Callable[[], object], why: str) -> None:
        """Wait until a condition holds."""
        WebDriverWait(self.driver, PATIENCE, 0.05, (StaleElementReferenceException,)).until(lambda _: holds(), why)

    def run(self, script: str, *arguments: Any) -> Any:
        """Run JavaScript in the page, as a tester may although the page's policy forbids it to others."""
        return self.driver.execute_script(script, *arguments)

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
        assert self.driver.save_screenshot(str(file))


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
