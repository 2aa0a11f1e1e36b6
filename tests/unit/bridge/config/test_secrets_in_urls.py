"""URLs with a secret in them, right and wrong, as values of settings: no message has the secret."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as some

from bridge.brokers.opening import open_broker, path_to_empty
from bridge.config.settings import load_settings
from bridge.errors import BridgeError

SECRET = "hunter2"

SCHEMES = ["amqp", "amqps", "http", "https", "redis", "rediss", "unix", "postgresql", "mysql+pymysql", "x"]
PARTS = [
    *(SECRET, SECRET.upper(), "user", "host", "0", "5672", "db=1", "::1", "1.2.3.4"),
    *(":", "/", "//", "?", "#", "@", "[", "]", "&", "=", ",", "%", "%40", "%00", " ", "\t", "＠", "℅", "ä"),
]
REST = some.lists(some.sampled_from(PARTS), max_size=9).map("".join)
TEXTS = some.builds(
    "{}{}{}".format, some.sampled_from(["", *SCHEMES]), some.sampled_from(["://", ":", ":/", "//", ""]), REST
)
URLS = some.builds(
    f"{{}}://user:{SECRET}{{}}@{{}}".format, some.sampled_from([each for each in SCHEMES if each != "unix"]), REST, REST
)

URL_SETTINGS: Mapping[str, Callable[[str], dict[str, Any]]] = {
    "broker_url": lambda url: {"broker_url": url},
    "management_url": lambda url: {"management_url": url},
    "public_url": lambda url: {"public_url": url},
    "stores.url": lambda url: {"stores": {"a": {"url": url}}},
}
OTHERS: Mapping[str, Callable[[str], dict[str, Any]]] = {
    "stores.classes": lambda url: {"stores": {"a": {"url": "redis://host", "classes": {"Job": url}}}},
    "stores.queue": lambda url: {"stores": {"a": {"url": "redis://host", "queue": f"{url} "}}},
    "pool.allow": lambda url: {"pool": {"bind": "127.0.0.1:1", "allow": [url]}},
    "pool.bind": lambda url: {"pool": {"bind": url}},
    "queues.patterns": lambda url: {"queues": {"a": {"patterns": [url]}}},
    "queues.rate": lambda url: {"queues": {"a": {"rate": url}}},
    "schedules.event": lambda url: {"schedules": {"a": {"event": url, "cron": "0 3 * * *"}}},
    "schedules.cron": lambda url: {"schedules": {"a": {"event": "a.b", "cron": url}}},
    "schedules.timezone": lambda url: {"schedules": {"a": {"event": "a.b", "cron": "0 3 * * *", "timezone": url}}},
    "fastcgi.addresses": lambda url: {"fastcgi": {"addresses": [url]}},
    "fastcgi.host": lambda url: {"fastcgi": {"host": url}},
}


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def said(act: Callable[[], object]) -> str:
    """Return the message of the error with which the act ends, in small letters; an empty one if it ends well."""
    try:
        act()
    except BridgeError as error:
        return str(error).lower()
    return ""


@pytest.mark.parametrize("place", URL_SETTINGS)
@given(url=TEXTS)
@example(url=f"redis://:{SECRET}")
@example(url=f"redis://default:{SECRET}")
@example(url=f"redis://:{SECRET}?x@host/0")
@example(url=f"redis://:x?{SECRET}@host/0")
@example(url=f"redis://?{SECRET}")
@example(url=f"redis://user:x[{SECRET}]@host/0")
@example(url=f"postgresql://user:{SECRET}＠@host/shop")
@example(url=f"https://user:{SECRET}℅@host")
@example(url=f"//user:{SECRET}[")
def test_a_url_that_cannot_be_read(place: str, url: str) -> None:
    """Any part of it may be the password."""
    assert SECRET not in said(lambda: load_settings(environ={}, command_line=URL_SETTINGS[place](url)))


@pytest.mark.parametrize("place", OTHERS)
@given(url=URLS)
def test_a_url_in_the_place_of_another_value(place: str, url: str) -> None:
    """Two settings may be mixed up."""
    message = said(lambda: load_settings(environ={}, command_line=OTHERS[place](url)))

    assert "expected" in message
    assert SECRET not in message


@given(url=TEXTS)
@example(url=f"redis://user:x[{SECRET}]@host/0")
@example(url=f"amqp://user:x[{SECRET}]@host/0")
def test_a_url_that_names_no_broker(url: str) -> None:
    """`bridge-move` takes URLs that are no settings."""
    assert SECRET not in said(lambda: path_to_empty(url))
    assert SECRET not in said(lambda: open_broker(url, "bridge"))
