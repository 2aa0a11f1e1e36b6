"""Fixtures of the tests of the page: one site and one browser for all of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from bridge.config.settings import Settings, load_settings
from deferred_event_bridge.dashboard import create_app
from tests.dashboard.browser import Browser, chromium
from tests.dashboard.page_client import on_broker
from tests.dashboard.page_site import SETTINGS, PageSite, dashboard_toml, page_site


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The settings of a site whose broker has its queues."""
    (tmp_path / "bridge.toml").write_text(f'broker_url = "sqlite:///{tmp_path}/b.db"\n{SETTINGS}{dashboard_toml()}')
    found = load_settings(environ={}, file=str(tmp_path / "bridge.toml"))
    on_broker(found, lambda broker: broker.declare(found.queues()))
    return found


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    """The page of the site."""
    app = create_app(settings)
    yield app
    app.extensions["bridge_dashboard"].close()


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
