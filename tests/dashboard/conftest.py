"""Fixtures of the tests of the page: one site and one browser for all of them."""

from collections.abc import Iterator

import pytest

from tests.dashboard.browser import Browser, chromium
from tests.dashboard.page_site import PageSite, page_site


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageSite]:
    """The site of a shop with a worker and the page."""
    with page_site(tmp_path_factory.mktemp("shop", numbered=False)) as site:
        yield site


@pytest.fixture(scope="session")
def _chromium(shop: PageSite) -> Iterator[Browser]:
    with chromium(shop.url) as started:
        yield started


@pytest.fixture
def browser(_chromium: Browser) -> Browser:
    """A browser without a session."""
    _chromium.driver.delete_all_cookies()
    _chromium.be(1280)
    _chromium.complaints()
    return _chromium
