"""Passwords: no message of the settings shows one, and one may come from a file."""

import logging
import re
from pathlib import Path
from typing import Any

import pytest

from bridge.brokers.contract.inspection import SiteOnBroker
from bridge.brokers.opening import definitions, open_broker
from bridge.config.hiding import without_password
from bridge.config.settings import Settings, load_settings
from bridge.errors import SettingsError

SECRET = "hunter2"

WRONG_URLS = [
    f"amqp:/shop:{SECRET}@host/",
    f"amqp:shop:{SECRET}@host",
    f"amqp//shop:{SECRET}@host",
    f"ampq://shop:{SECRET}@host/",
    f"redis://:{SECRET}@host",
    f"redis://shop:{SECRET}",
    f"shop:{SECRET}@host",
    f"shop:{SECRET}",
    f"http://host/?password={SECRET}",
    f"redis://host/\n{SECRET}@host",
    f"redis://shop:a@b/{SECRET}@host",
    f"redis://shop@host:{SECRET}/x@y",
    f"sqlite://shop:{SECRET}@host/bridge.db",
    f"sqlite://shop:{SECRET}/bridge.db",
    f"sqlite:shop:{SECRET}",
    f"sqlite:///shop:{SECRET}@host/",
    f"{SECRET}://shop@host",
    f"postgresql+psycopg://shop:{SECRET}@host",
]


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def failure(**layers: Any) -> str:
    """Return the message, with its causes, of the error that loading these settings raises."""
    with pytest.raises(SettingsError) as error:
        load_settings(**{"environ": {}, **layers})
    return str(error.value)


@pytest.mark.parametrize("url", WRONG_URLS)
def test_a_wrong_url_is_not_shown(url: str) -> None:
    """Whatever is wrong with the URL, the message has the key and the origin, and no part that may be the password."""
    message = failure(environ={"BRIDGE_BROKER_URL": url})

    assert SECRET not in message
    assert message.startswith("broker_url = '")
    assert "(from environment variable BRIDGE_BROKER_URL): expected " in message
    assert SECRET not in failure(command_line={"management_url": f"amqp{url}"})
    with pytest.raises(SettingsError) as error:
        open_broker(url, "bridge")
    assert SECRET not in str(error.value)


@pytest.mark.parametrize("key", ["BROKER_URI", "BROKERURL", "RABBIT", "BROKER_PASSWORD", "SECRET_KEY"])
@pytest.mark.parametrize("value", [f"amqp://shop:{SECRET}@host/", SECRET, {"url": SECRET}, [SECRET]])
def test_a_value_below_a_wrong_key_is_not_shown(key: str, value: object) -> None:
    """A misspelt key may have the password below it, alone, in a URL or in a table."""
    message = failure(flask_config={f"BRIDGE_{key}": value})

    assert SECRET not in message


@pytest.mark.parametrize("value", [{"url": SECRET}, [SECRET], 7])
def test_a_broker_url_that_is_no_text_is_not_shown(value: object) -> None:
    """The parts of a URL in a table or a list are none that a message may show."""
    message = failure(flask_config={"BRIDGE_BROKER_URL": value})

    assert message == "broker_url = … (from Flask's config): expected a text in quotes"


@pytest.mark.parametrize("key", ["namespace", "source", "children", "queues", "retry", "spool_limit", "watchers"])
def test_a_url_in_the_place_of_another_value_is_not_shown(key: str) -> None:
    """Two settings may be mixed up; the message shows the scheme at most."""
    long = "x" * 200
    for layer in ("command_line", "flask_config", "environ"):
        name = key if layer == "command_line" else f"BRIDGE_{key.upper()}"
        assert SECRET not in failure(**{layer: {name: f"amqp://shop:{SECRET}@{long}/"}})


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("children = 'many'", "children = 'many' (from "),
        ("broker_url = 'sqlite:///:memory:'", "broker_url = 'sqlite:///:memory:' (from "),
        ("broker_url = 'redis://host'", "broker_url = 'redis://…' (from "),
        ("[fastcgi]\naddresses = ['unix:app.sock']", "fastcgi.addresses.0.address = 'unix:app.sock' (from "),
    ],
)
def test_other_values_are_shown(tmp_path: Path, toml: str, said: str) -> None:
    """A value that can be no secret helps to find the mistake."""
    (tmp_path / "bridge.toml").write_text(toml)

    assert failure().startswith(said)


def test_the_repr_of_settings_has_no_password() -> None:
    """A traceback with local variables, or a debugger's page, shows the repr."""
    url = f"amqp://shop:{SECRET}@host/"
    settings = load_settings(environ={"BRIDGE_BROKER_URL": url, "BRIDGE_MANAGEMENT_URL": f"http://u:{SECRET}@host"})

    assert settings.values.broker_url == url
    assert SECRET not in repr(settings)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"amqp://shop:{SECRET}@h1,h2:5673/v?x={SECRET}", "amqp://…@h1,h2:5673/v"),
        (f"amqp://shop:a@{SECRET}@h/", "amqp://…@h/"),
        ("amqp://h/", "amqp://h/"),
        ("sqlite:////var/lib/a@b.db", "sqlite:////var/lib/a@b.db"),
        ("bridge", "bridge"),
    ],
)
def test_a_valid_url_without_its_password(url: str, said: str) -> None:
    """Hosts and virtual host are shown; user, password and parameters are not."""
    assert without_password(url) == said


def test_a_password_on_the_command_line_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """Other users see it in the list of processes; the warning does not repeat it."""
    load_settings(environ={}, command_line={"broker_url": f"amqp://shop:{SECRET}@host/"})

    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("broker_url (from command line) has a password")
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    "layers",
    [
        {"command_line": {"broker_url": "amqp://shop@host/"}},
        {"command_line": {"broker_url": "amqp://guest:guest@localhost/"}},
        {"environ": {"BRIDGE_BROKER_URL": f"amqp://shop:{SECRET}@host/"}},
        {"command_line": {"namespace": "shop"}, "environ": {"BRIDGE_BROKER_URL": f"amqp://shop:{SECRET}@host/"}},
    ],
)
def test_no_other_password_is_warned_of(layers: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """A URL without a password, the one that everybody knows, and one from elsewhere are no reason to warn."""
    load_settings(**{"environ": {}, **layers})

    assert caplog.records == []


def with_file(url: str, content: bytes, **environ: str) -> Settings:
    """Load settings with this URL and a password file with this content."""
    Path("password").write_bytes(content)
    Path("bridge.toml").write_text(f"broker_url = '{url}'\nbroker_password_file = 'password'\n")
    return load_settings(environ=environ)


@pytest.mark.parametrize(
    ("content", "encoded"),
    [
        (b"hunter2", "hunter2"),
        (b"hunter2\n", "hunter2"),
        (b"hunter2\r\n", "hunter2"),
        (b" a/b@c:d?e#f%41 \n", "%20a%2Fb%40c%3Ad%3Fe%23f%2541%20"),
        ("pä$$".encode(), "p%C3%A4%24%24"),
    ],
)
def test_a_password_from_a_file(content: bytes, encoded: str) -> None:
    """The line of the file is the password, encoded for the URL; only the end of the line is no part of it."""
    url = with_file("amqp://shop@h1,h2:5673/v?heartbeat=5", content).values.broker_url

    assert url == f"amqp://shop:{encoded}@h1,h2:5673/v?heartbeat=5"


def test_a_password_that_a_child_gets_twice() -> None:
    """A worker passes its URL, complete, to its children, which read the same file."""
    settings = with_file("amqp://shop@host/", b"a@b\n", BRIDGE_BROKER_URL="amqp://shop:a%40b@host/")

    assert settings.values.broker_url == "amqp://shop:a%40b@host/"


@pytest.mark.parametrize(
    ("url", "content", "expected"),
    [
        ("amqp://host/", b"x", "expected a user in broker_url"),
        (f"amqp://shop:{SECRET}@host/", b"x", "expected no password in broker_url, or the same one"),
        ("amqp://shop@host/", b"", "expected a file with one line, the password"),
        ("amqp://shop@host/", b"\n", "expected a file with one line, the password"),
        ("amqp://shop@host/", f"{SECRET}\n{SECRET}\n".encode(), "expected a file with one line, the password"),
        ("amqp://shop@host/", SECRET.encode() * 1000, "expected a file with one line, the password"),
        ("amqp://shop@host/", b"hunter2\xff", "expected a file in UTF-8"),
    ],
)
def test_a_password_file_that_cannot_be_used(url: str, content: bytes, expected: str) -> None:
    """The message has the key and the origin, and nothing of the password."""
    with pytest.raises(SettingsError) as error:
        with_file(url, content)

    assert str(error.value) == f"broker_password_file (from {Path.cwd()}/bridge.toml): {expected}" + (
        ", as in amqp://shop@host/" if "a user" in expected else ""
    )
    assert SECRET not in str(error.value)


def test_a_password_in_the_place_of_the_file() -> None:
    """A password that was written there by mistake is not shown."""
    message = failure(environ={"BRIDGE_BROKER_URL": "amqp://shop@host/", "BRIDGE_BROKER_PASSWORD_FILE": SECRET})

    assert message.startswith("broker_password_file (from environment variable BRIDGE_BROKER_PASSWORD_FILE): expected")
    assert SECRET not in message


def test_a_file_broker_needs_no_password() -> None:
    """With SQLite, the password file is not read."""
    assert load_settings(environ={"BRIDGE_BROKER_PASSWORD_FILE": "missing"}).values.broker_url.startswith("sqlite:")


def test_definitions_of_a_wrong_broker() -> None:
    """The message shows the path of a file."""
    with pytest.raises(SettingsError, match=re.escape("broker_url is 'sqlite:////a.db'")):
        definitions(SiteOnBroker("sqlite:////a.db", "bridge", []))
