"""Settings: layers, values, and messages that name the problem and the origin of the value."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from bridge.config.notation import duration
from bridge.config.settings import Settings, load_settings
from bridge.errors import SettingsError
from bridge.handling import Priority
from bridge.retry_table import DEFAULT, RetryTable


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def load(toml: str | None = None, **layers: Any) -> Settings:
    """Return the settings with this `bridge.toml` and these layers. The environment is empty unless given."""
    if toml is not None:
        Path("bridge.toml").write_text(toml)
    return load_settings(**{"environ": {}, **layers})


def failure(toml: str | None = None, **layers: Any) -> str:
    """Return the message of the error that loading these settings raises."""
    with pytest.raises(SettingsError) as error:
        load(toml, **layers)
    return str(error.value)


def test_without_anything_there_is_a_catch_all_on_sqlite() -> None:
    """A new user needs no settings file: the defaults are SQLite and a catch-all queue."""
    settings = load()
    (queue,) = settings.queues()
    assert settings.values.broker_url == f"sqlite:///{Path.cwd()}/bridge.db"
    assert (queue.name, queue.catch_all, queue.retry) == ("default", True, DEFAULT)
    assert settings.origin("broker_url") == "default"


def test_the_stronger_layer_wins_and_is_named() -> None:
    """The order of strength is: command line, Flask's config, environment, file."""
    layers: dict[str, Any] = {
        "environ": {"BRIDGE_NAMESPACE": "env", "BRIDGE_RELEASE": "v3", "BRIDGE_GRACE": "1m"},
        "flask_config": {"BRIDGE_NAMESPACE": "flask", "BRIDGE_RELEASE": "v4", "DEBUG": True},
        "command_line": {"namespace": "line", "children": None},
    }
    settings = load("namespace = 'file'\ndeadline = '5s'", **layers)
    assert (settings.values.namespace, settings.values.release) == ("line", "v4")
    assert (settings.values.grace, settings.values.deadline) == (timedelta(minutes=1), timedelta(seconds=5))
    assert settings.origin("namespace") == "command line"
    assert settings.origin("release") == "Flask's config"
    assert settings.origin("grace") == "environment variable BRIDGE_GRACE"
    assert settings.origin("deadline").endswith("bridge.toml")


def test_queues_come_from_the_file_with_the_sites_defaults() -> None:
    """A queue without a deadline or a retry policy has those of the site."""
    settings = load(
        """
        deadline = "10s"
        retry = {attempts = 5}
        [queues.mail]
        patterns = ["mail.#", "order.paid"]
        deadline = "2m"
        retry = "shop_policies:mail"
        slots = 1
        priority = "low"
        weight = 3
        [queues.default]
        """
    )
    mail, rest = settings.queues()
    assert (mail.priority, mail.weight, rest.priority, rest.weight) == (Priority.LOW, 3, Priority.NORMAL, 1)
    assert (mail.patterns, mail.deadline, mail.retry, mail.slots) == (
        ("mail.#", "order.paid"),
        timedelta(minutes=2),
        "shop_policies:mail",
        1,
    )
    assert (rest.name, rest.deadline, rest.retry) == ("default", timedelta(seconds=10), RetryTable(attempts=5))


def test_a_site_may_leave_the_catch_all_out() -> None:
    """A `[queues]` table without `default` declares no catch-all."""
    assert [queue.name for queue in load("[queues.mail]\npatterns = ['mail.#']").queues()] == ["mail"]


def test_a_relative_sqlite_path_is_relative_to_the_file() -> None:
    """A relative SQLite path is relative to the directory of the settings file, not to the working directory."""
    Path("site").mkdir()
    Path("site/bridge.toml").write_text("broker_url = 'sqlite:///data/b.db'")
    assert load(file="site/bridge.toml").values.broker_url == f"sqlite:///{Path.cwd()}/site/data/b.db"
    assert load(environ={"BRIDGE_CONFIG": "site/bridge.toml"}).file == Path.cwd() / "site/bridge.toml"
    assert load(environ={"BRIDGE_CONFIG": ""}).file is None
    assert load(environ={"BRIDGE_CONFIG": ""}, file="").file is None


def test_the_app_may_say_how_it_publishes() -> None:
    """Flask's config may set the spool, and a relative spool path is relative to the settings file."""
    Path("site").mkdir()
    Path("site/bridge.toml").write_text("")
    config = {"BRIDGE_PUBLISH": "spool", "BRIDGE_SPOOL": "var/spool.db", "BRIDGE_SPOOL_LIMIT": "5MiB"}
    values = load(file="site/bridge.toml", flask_config=config).values
    assert (values.publish, values.spool_limit) == ("spool", 5 * 1024**2)
    assert values.spool == f"{Path.cwd()}/site/var/spool.db"
    assert (load().values.publish, load().values.spool) == ("confirm", f"{Path.cwd()}/bridge-spool.db")


def test_watchers_are_named_in_the_file_or_in_the_environment() -> None:
    """Watchers are a list in the file, and a list with commas in the environment."""
    assert load().values.watchers == ()
    assert load("watchers = ['shop.metrics:watcher']").values.watchers == ("shop.metrics:watcher",)
    named = load(environ={"BRIDGE_WATCHERS": "shop.metrics:watcher, shop:holder.watch"}).values.watchers
    assert named == ("shop.metrics:watcher", "shop:holder.watch")


def test_an_absolute_sqlite_path_and_other_brokers_stay_as_they_are() -> None:
    """Only a relative SQLite path is resolved."""
    for url in ("sqlite:////var/lib/b.db", "amqp://u:p@h1,h2:5673/v?heartbeat=5"):
        assert load(command_line={"broker_url": url}).values.broker_url == url


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ({"command_line": {"children": "many"}}, "children = 'many' (from command line): expected a whole number"),
        ({"environ": {"BRIDGE_CHILDREN": "0"}}, "children = '0' (from environment variable BRIDGE_CHILDREN): expected"),
        ({"environ": {"BRIDGE_DEADLINE": "soon"}}, "deadline = 'soon' (from environment variable BRIDGE_DEADLINE): "),
        ({"flask_config": {"BRIDGE_BROKER_URI": "x"}}, "broker_uri = … (from Flask's config): no such setting (did"),
        ({"toml": "[queues.mail]\ndeadlin = 3"}, "queues.mail.deadlin = … (from "),
        (
            {"toml": "[queues.mail]\ndeadlin = 3"},
            "no such setting (did you mean deadline?); expected one of patterns, ",
        ),
        ({"toml": "zebra = 3"}, "no such setting; expected one of broker_url, "),
        ({"flask_config": {"BRIDGE_PUBLISHTIMEOUT": 3}}, "no such setting (did you mean publish_timeout?)"),
        ({"toml": "[queues.mail]\npatterns = ['a..b']"}, "queues.mail.patterns.0 = 'a..b' (from "),
        ({"toml": "[queues.'a.b']"}, "queues.a.b = 'a.b' (from "),
        ({"toml": "[queues.m.retry]\nattempts = 0"}, "queues.m.retry.attempts = 0 (from "),
        ({"toml": "[queues.m]\nretry = 'nothing'"}, "expected a table such as {attempts = 20"),
        ({"toml": "queues = 3"}, "queues = 3 (from "),
        ({"toml": "queues = 3"}, "expected a table"),
        ({"toml": "children = 'two'"}, "bridge.toml): expected a whole number, 1 or more"),
        ({"toml": "children = 0"}, "bridge.toml): expected a whole number, 1 or more"),
        ({"toml": "children = 1.5"}, "bridge.toml): expected a whole number, 1 or more"),
        ({"toml": "spare = -1"}, "expected a whole number, 0 or more"),
        ({"toml": "preload = 'perhaps'"}, "expected true or false"),
        ({"toml": "publish = 'perhaps'"}, "expected 'confirm' or 'spool'"),
        ({"toml": "spool_limit = '64KiB'"}, "bridge.toml): expected a size of 1MiB or more, such as '1GiB'"),
        ({"toml": "spool = ''"}, "spool = '' (from "),
        ({"toml": "namespace = 7"}, "namespace = 7 (from "),
        ({"toml": "namespace = 7"}, "expected a text in quotes"),
        ({"toml": "source = ''"}, "expected 1 characters or more"),
        ({"toml": "retry = {jitter = 2}"}, "expected a number, 1 or less"),
        ({"toml": "[queues.m]\npatterns = 'mail.#'"}, "expected a list of patterns, such as ['mail.#']"),
        ({"toml": "broker_url = 'redis://x'"}, "bridge.toml): expected sqlite:///path/to/file.db, amqp://host/"),
        (
            {"environ": {"BRIDGE_BROKER_URL": "redis://:secret@x"}},
            "broker_url = 'redis://…' (from environment variable",
        ),
        ({"toml": "publish_timeout = '40000d'"}, "publish_timeout = '40000d' (from "),
        ({"toml": "publish_timeout = '40000d'"}, "expected a time from 0 to 36500d"),
        ({"toml": "deadline = 9223372037"}, "expected a time from 0 to 36500d"),
        ({"toml": "grace = '999999999d'"}, "expected a time from 0 to 36500d"),
        ({"toml": "grace = '9999999999d'"}, "expected a time of at most 999999999 days"),
        ({"toml": "retry = {max = '40000d'}"}, "retry.max = '40000d' (from "),
        ({"environ": {"BRIDGE_PUBLISH_TIMEOUT": "9" * 400}}, "expected a time of at most 999999999 days"),
        ({"flask_config": {"BRIDGE_PUBLISH_TIMEOUT": timedelta.max}}, "expected a time from 0 to 36500d"),
        ({"flask_config": {"BRIDGE_PUBLISH_TIMEOUT": timedelta(-1)}}, "expected a time from 0 to 36500d"),
        ({"flask_config": {"BRIDGE_PUBLISH_TIMEOUT": float("nan")}}, "expected a time such as 30"),
        ({"flask_config": {"BRIDGE_PUBLISH_TIMEOUT": float("inf")}}, "expected a time such as 30"),
        ({"flask_config": {"BRIDGE_PUBLISH_TIMEOUT": -1}}, "expected a time such as 30"),
        ({"flask_config": {"BRIDGE_MAX_BODY": 10**5000}}, "max_body = a value of type int (from Flask's config): "),
        ({"toml": "max_body = 1" + "0" * 5000}, "bridge.toml: expected a TOML file: Exceeds the limit"),
        ({"toml": "queues = " + "[" * 5000}, "bridge.toml: expected a TOML file: "),
        ({"toml": "broker_url = 'amqp://one:99999/'"}, "bridge.toml): expected amqp://user:password@host:port/vhost"),
        ({"environ": {"BRIDGE_BROKER_URL": "amqp:///"}}, "variable BRIDGE_BROKER_URL): expected amqp://"),
        ({"flask_config": {"BRIDGE_BROKER_URL": "amqp://h/a/b"}}, "(from Flask's config): expected a virtual host"),
        ({"command_line": {"broker_url": "amqp://me:sesame@h:x/"}}, "'amqp://…' (from command line): expected"),
        ({"toml": "max_body = '1 MB'"}, "expected a size such as 1048576"),
        ({"toml": "replay_path = 'x/'"}, "expected a path such as '/_bridge'"),
        ({"toml": "deadline = 0"}, "expected a time above 0"),
        ({"toml": "broker_url = 'sqlite:///:memory:'"}, "expected the path of a file, as in sqlite:///bridge.db"),
        ({"toml": "broker_url = 'sqlite://file.db'"}, "expected the path of a file, as in sqlite:///bridge.db"),
        ({"toml": "watchers = ['shop']"}, "watchers.0 = 'shop' (from "),
        ({"toml": "watchers = ['shop']"}, "expected 'module:object', such as 'shop.metrics:watcher'"),
        ({"toml": "watchers = 7"}, "expected a list such as ['shop.metrics:watcher']"),
        ({"environ": {"BRIDGE_WATCHERS": "shop"}}, "watchers.0 = 'shop' (from environment variable BRIDGE_WATCHERS)"),
        ({"flask_config": {"BRIDGE_WATCHERS": ["shop:watch"]}}, "expected it in bridge.toml, the environment"),
        ({"toml": "log_events = 'perhaps'"}, "expected true or false"),
        ({"toml": "file_group = true"}, "expected the name of a group of this machine, or a number up to 4294967294"),
        ({"toml": "file_group = 1.5"}, "expected the name of a group of this machine, or a number up to 4294967294"),
        (
            {"environ": {"BRIDGE_FILE_GROUP": "9" * 5000}},
            "expected the name of a group of this machine, or a number up to 4294967294",
        ),
        ({"toml": "this is no toml"}, "expected a TOML file"),
        ({"file": "missing.toml"}, "config 'missing.toml': expected a file, but /"),
        ({"file": "missing.toml"}, "/missing.toml does not exist"),
        ({"file": "/"}, "config '/': expected a file, but / is a directory"),
    ],
)
def test_a_bad_value_is_named_with_its_key_its_origin_and_what_was_expected(
    layers: dict[str, Any], message: str
) -> None:
    """The error names the key, the value, its origin, and what was expected."""
    assert message in failure(**layers)


@pytest.mark.parametrize("key", ["CHILDREN", "DEADLINE", "GRACE", "MAX_AGE", "CONTROL_DIRECTORY"])
def test_flasks_config_is_refused_what_only_the_worker_reads(key: str) -> None:
    """A setting that only the worker uses is refused in Flask's config, because it would have no effect there."""
    message = failure(flask_config={f"BRIDGE_{key}": "1"})
    assert message.startswith(f"{key.lower()} = '1' (from Flask's config): expected it in bridge.toml, the environment")
    assert f"(BRIDGE_{key})" in message


@pytest.mark.parametrize("key", ["queues", "retry", "fastcgi"])
def test_tables_are_accepted_in_the_file_only(key: str) -> None:
    """A table is refused in Flask's config and in the environment, because all programs must read the same table."""
    name = f"BRIDGE_{key.upper()}"
    assert "expected it in bridge.toml, which the app, the worker" in failure(flask_config={name: {}})
    assert f"{key} = '{{}}' (from environment variable {name}): expected it in bridge.toml" in failure(
        environ={name: "{}"}
    )


def test_a_file_with_a_byte_order_mark() -> None:
    """Some editors put one before the text."""
    Path("bridge.toml").write_bytes(b"\xef\xbb\xbfchildren = 3\r\n")

    assert load().values.children == 3


def test_all_problems_are_reported_at_once() -> None:
    """The error has one line for each of several problems."""
    message = failure("children = 0\ngrace = 'x'\nnonsense = 1")
    assert len(message.splitlines()) == 3


@pytest.mark.parametrize(("text", "declares"), [("false", False), ("0", False), ("true", True)])
def test_declare_is_true_or_false(text: str, declares: bool) -> None:
    """An environment variable has a word or a digit for true and false."""
    assert load(environ={"BRIDGE_DECLARE": text}).values.declare is declares


def test_declare_is_refused_in_flasks_config() -> None:
    """The worker does not read Flask's config and would declare all the same."""
    message = failure(flask_config={"BRIDGE_DECLARE": False})
    assert message.startswith("declare = False (from Flask's config): expected it in bridge.toml, the environment")


@pytest.mark.parametrize("host", ["a..b", "l" * 64, "."])
@pytest.mark.parametrize(
    ("toml", "key"),
    [
        ("broker_url = 'amqp://one,HOST:5672/'", "broker_url"),
        ("management_url = 'http://HOST:15672'", "management_url"),
        ("public_url = 'https://HOST:8443'", "public_url"),
        ("http = 'HOST:9464'", "http"),
        ("[fastcgi]\naddresses = ['HOST:9000']", "fastcgi.addresses.0.address"),
        ("[fastcgi]\naddresses = ['[..]:9000']", "fastcgi.addresses.0.address"),
        ("[fastcgi]\nhost = 'HOST:80'", "fastcgi.host"),
        ("[pool]\nbind = 'HOST:9000'", "pool.bind"),
        ("[stores.x]\nurl = 'redis://HOST/0'", "stores.x.url"),
        ("[stores.x]\nurl = 'postgresql://u:a/b@HOST:5432/shop'", "stores.x.url"),
        ("[stores.x]\nurl = 'mysql://HOST/shop'", "stores.x.url"),
    ],
)
def test_a_host_that_cannot_be_looked_up_is_refused(toml: str, key: str, host: str) -> None:
    """The look-up would raise an error that no program expects, each time or when this host is drawn."""
    message = failure(toml.replace("HOST", host))

    assert message.startswith(f"{key} = ")
    assert "a host name" in message


@pytest.mark.parametrize("port", ["abc", "65536", "-1", "0"])
@pytest.mark.parametrize("url", ["postgresql://h:PORT/db", "mysql+pymysql://u:p@h:PORT/db", "redis://h:PORT/0"])
def test_a_port_that_is_none_is_refused_in_the_url_of_a_store(url: str, port: str) -> None:
    """The libraries would raise an error of their own, or connect to another port, when the store is first used."""
    message = failure(f"[stores.x]\nurl = '{url.replace('PORT', port)}'")

    assert message.startswith("stores.x.url = ")
    assert message.endswith("expected a port from 1 to 65535 after the host")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:a/b:c@h/db",
        "mysql+pymysql://user@server:pa/ss@h/db",
        "postgresql:///db",
        "postgresql+psycopg://[::1]:5432/db?sslmode=require",
        "postgresql://" + ",".join(["a-host-of-postgresql-without-a-domain"] * 3) + "/db",
        "postgresql://häuser.example/db",
        "postgresql://h./db",
    ],
)
def test_the_url_of_a_database_is_read_as_sqlalchemy_reads_it(url: str) -> None:
    """A password with a slash, no host, several hosts, and an address in brackets are in order."""
    assert make_url(url).database == "db"
    assert load(f"[stores.x]\nurl = '{url}'").values.stores["x"].url == url


@pytest.mark.parametrize("url", ["host:15672", "amqp://host/", "http://", "https://me:sesame@/"])
def test_an_invalid_management_url_is_refused(url: str) -> None:
    """A management URL must be an HTTP URL, and the error does not contain its password."""
    message = failure(f"management_url = '{url}'")
    assert message.endswith("expected http://host:15672 or https://host:15671")
    assert "sesame" not in message


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (30, 30),
        ("30", 30),
        (1.5, 1.5),
        ("500ms", 0.5),
        ("5m", 300),
        ("5min", 300),
        ("2h", 7200),
        ("4d", 345_600),
        (0, 0),
    ],
)
def test_a_duration_is_a_number_of_seconds_or_has_a_unit(text: object, seconds: float) -> None:
    """A duration is a number of seconds, or a number with a unit."""
    assert duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "x", "-1", "1 week", True, None, [], "1e99d", "9" * 30 + "d"])
def test_anything_else_is_no_duration(text: object) -> None:
    """The error of an invalid duration shows valid forms."""
    with pytest.raises(ValueError, match="expected a time"):
        duration(text)


@pytest.mark.parametrize(
    "value",
    ["", "too-short-secret"[:15], "x" * 257, "a secret with spaces", "s\u00e9cret-of-the-site", "x" * 15 + "\n"],
)
@pytest.mark.parametrize("layer", ["environ", "flask_config"])
def test_a_wrong_secret_is_never_shown(value: str, layer: str) -> None:
    """The message says what was expected, and not what was given."""
    given: dict[str, Any] = {layer: {"BRIDGE_REPLAY_SECRET": value}}
    message = failure(**given)

    assert message.startswith("replay_secret = '…' (from ")
    assert not value or value not in message


def test_a_secret_is_not_in_the_representation_of_the_settings() -> None:
    """A log line or a traceback with the settings does not show it."""
    settings = load_settings(environ={"BRIDGE_REPLAY_SECRET": "the-secret-of-the-site"}, file=None)

    assert settings.values.replay_secret == "the-secret-of-the-site"
    assert "the-secret-of-the-site" not in repr(settings)


def test_an_ordered_queue_has_one_slot() -> None:
    """Another number of slots contradicts it, and the message names the key and the value."""
    assert [queue.slots for queue in load("[queues.orders]\nordered = true\n").queues()] == [1]
    assert "queues.orders.slots = 4 (from " in (said := failure("[queues.orders]\nordered = true\nslots = 4\n"))
    assert said.endswith("expected no slots, or 1: ordered = true runs one event")
