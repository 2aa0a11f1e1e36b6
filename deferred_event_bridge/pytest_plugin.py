"""The pytest plugin of the distribution: the fixture `deferred_events`. pytest loads it by its entry point.

It imports no other package of the distribution before a test uses the fixture, because pytest loads it for every test
run of the environment.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from app_adapter.testing import Recording


@pytest.fixture
def deferred_events(app: Any) -> "Iterator[Recording]":
    """Record the events that the app of the fixture `app` defers, instead of publishing them.

    The recording is a sequence of events; its `replay()` runs their listeners. See docs/testing.md.
    """
    from app_adapter.defer import EXTENSION

    state = app.extensions.get(EXTENSION)
    if state is None:
        pytest.fail(f"the fixture deferred_events: the app {app.name!r} has no DeferredEvents", pytrace=False)
    with state.events.testing() as recording:
        yield recording
