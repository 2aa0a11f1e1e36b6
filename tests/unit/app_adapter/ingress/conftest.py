"""Fixtures of the tests of the ingress."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app_adapter import fork_safe_publishing
from app_adapter.testing import Recording
from tests.unit.app_adapter.ingress.ingress_site import IngressSite


@pytest.fixture(autouse=True)
def _own_directory_and_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    threads = fork_safe_publishing.PublishingThreads()
    monkeypatch.setattr(fork_safe_publishing, "_threads_of_this_process", threads)
    yield
    threads.close()  # a thread without its broker would try to reach it until the process ends


@pytest.fixture
def site() -> IngressSite:
    """An ingress with the defaults."""
    return IngressSite()


@pytest.fixture
def deferred(site: IngressSite) -> Iterator[Recording]:
    """The events that the site defers, recorded."""
    with site.events.testing() as recording:
        yield recording
