"""The closest name to a mistyped one."""

import pytest

from bridge.config.closest import closest
from bridge.config.reading import keys_of
from bridge.config.values import Values


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("deadlin", "deadline"),
        ("Deadline", "deadline"),
        ("publish-timeout", "publish_timeout"),
        ("publishtimeout", "publish_timeout"),
        ("broker_uri", "broker_url"),
        ("timeout", "boot_timeout"),
        ("childs", "children"),
        ("children", "children"),
        ("x", None),
        ("", None),
        ("9" * 5000, None),
    ],
)
def test_the_closest_key(name: str, found: str | None) -> None:
    """A name that resembles none has no closest one."""
    assert closest(name, keys_of(Values)) == found
