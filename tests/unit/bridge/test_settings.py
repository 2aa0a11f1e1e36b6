"""Settings: layers, values, and messages that say what is wrong and where it came from."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bridge.errors import SettingsError
from bridge.notation import duration
from bridge.retry_table import DEFAULT, RetryTable
from bridge.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def load(toml: str | None = None, **layers: Any) -> Settings:
    """The settings with this `bridge.toml`, and no environment unless given."""
    if toml is not None:
        Path("bridge.toml").write_text(toml)
    return load_settings(**{"environ": {}, **layers})


def failure(toml: str | None = None, **layers: Any) -> str:
    """What the settings are refused with."""
    with pytest.raises(SettingsError) as error:
        load(toml, **layers)
    return str(error.value)


def test_without_anything_there_is_a_catch_all_on_sqlite() -> None:
    """A newcomer need not write a file."""
    settings = load()
    (queue,) = settings.queues()
    assert settings.values.broker_url == f"sqlite:///{Path.cwd()}/bridge.db"
    assert (queue.name, queue.catch_all, queue.retry) == ("default", True, DEFAULT)
    assert settings.origin("broker_url") == "default"


def test_the_stronger_layer_wins_and_is_named() -> None:
    """Command line, Flask's config, environment, file."""
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
    """What a queue does not say, the site says."""
    settings = load(
        """
        deadline = "10s"
        retry = {attempts = 5}
        [queues.mail]
        patterns = ["mail.#", "order.paid"]
        deadline = "2m"
        retry = "shop_policies:mail"
        slots = 1
        [queues.default]
        """
    )
    mail, rest = settings.queues()
    assert (mail.patterns, mail.deadline, mail.retry, mail.slots) == (
        ("mail.#", "order.paid"),
        timedelta(minutes=2),
        "shop_policies:mail",
        1,
    )
    assert (rest.name, rest.deadline, rest.retry) == ("default", timedelta(seconds=10), RetryTable(attempts=5))


def test_a_site_may_leave_the_catch_all_out() -> None:
    """The file is the whole truth about queues."""
    assert [queue.name for queue in load("[queues.mail]\npatterns = ['mail.#']").queues()] == ["mail"]


def test_a_relative_sqlite_path_is_relative_to_the_file() -> None:
    """Wherever a program is started."""
    Path("site").mkdir()
    Path("site/bridge.toml").write_text("broker_url = 'sqlite:///data/b.db'")
    assert load(file="site/bridge.toml").values.broker_url == f"sqlite:///{Path.cwd()}/site/data/b.db"
    assert load(environ={"BRIDGE_CONFIG": "site/bridge.toml"}).file == Path.cwd() / "site/bridge.toml"


def test_the_app_may_say_how_it_publishes() -> None:
    """A relative spool is relative to the settings' file, like an SQLite broker."""
    Path("site").mkdir()
    Path("site/bridge.toml").write_text("")
    config = {"BRIDGE_PUBLISH": "spool", "BRIDGE_SPOOL": "var/spool.db", "BRIDGE_SPOOL_LIMIT": "5MiB"}
    values = load(file="site/bridge.toml", flask_config=config).values
    assert (values.publish, values.spool_limit) == ("spool", 5 * 1024**2)
    assert values.spool == f"{Path.cwd()}/site/var/spool.db"
    assert (load().values.publish, load().values.spool) == ("confirm", f"{Path.cwd()}/bridge-spool.db")


def test_an_absolute_sqlite_path_and_other_brokers_stay_as_they_are() -> None:
    """Only what is relative is resolved."""
    for url in ("sqlite:////var/lib/b.db", "amqp://u:p@h1,h2:5673/v?x=1"):
        assert load(command_line={"broker_url": url}).values.broker_url == url


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ({"command_line": {"children": "many"}}, "children = 'many' (from command line): expected a whole number"),
        ({"environ": {"BRIDGE_CHILDREN": "0"}}, "children = '0' (from environment variable BRIDGE_CHILDREN): expected"),
        ({"environ": {"BRIDGE_DEADLINE": "soon"}}, "deadline = 'soon' (from environment variable BRIDGE_DEADLINE): "),
        ({"flask_config": {"BRIDGE_BROKER_URI": "x"}}, "broker_uri = 'x' (from Flask's config): no such setting"),
        ({"toml": "[queues.mail]\ndeadlin = 3"}, "queues.mail.deadlin = 3 (from "),
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
            "broker_url = 'redis://…@x' (from environment variable",
        ),
        ({"toml": "max_body = '1 MB'"}, "expected a size such as 1048576"),
        ({"toml": "replay_path = 'x/'"}, "expected a path such as '/_bridge'"),
        ({"toml": "deadline = 0"}, "expected a time above 0"),
        ({"toml": "broker_url = 'sqlite:///:memory:'"}, "expected sqlite:///path/to/file.db"),
        ({"toml": "broker_url = 'sqlite://file.db'"}, "expected sqlite:///path/to/file.db"),
        ({"toml": "this is no toml"}, "expected a TOML file"),
        ({"file": "missing.toml"}, "config 'missing.toml': expected a file, and there is none at"),
        ({"file": "/"}, "config '/': expected a file, and / is a directory"),
    ],
)
def test_a_bad_value_is_named_with_its_key_its_origin_and_what_was_expected(layers: dict[str, Any], said: str) -> None:
    """One line a problem."""
    assert said in failure(**layers)


@pytest.mark.parametrize("key", ["CHILDREN", "DEADLINE", "GRACE", "MAX_AGE", "CONTROL_DIRECTORY"])
def test_flasks_config_is_refused_what_only_the_worker_reads(key: str) -> None:
    """The worker does not read it there, so it would have no effect."""
    said = failure(flask_config={f"BRIDGE_{key}": "1"})
    assert said.startswith(f"{key.lower()} = '1' (from Flask's config): expected it in bridge.toml, the environment")
    assert f"(BRIDGE_{key})" in said


@pytest.mark.parametrize("key", ["queues", "retry", "fastcgi"])
def test_tables_stand_in_the_file_alone(key: str) -> None:
    """Which the app, the worker and the tools read alike."""
    name = f"BRIDGE_{key.upper()}"
    assert "expected it in bridge.toml, which the app, the worker" in failure(flask_config={name: {}})
    assert f"{key} = '{{}}' (from environment variable {name}): expected it in bridge.toml" in failure(
        environ={name: "{}"}
    )


def test_all_problems_are_said_at_once() -> None:
    """Nobody should have to start a program five times."""
    said = failure("children = 0\ngrace = 'x'\nnonsense = 1")
    assert len(said.splitlines()) == 3


@pytest.mark.parametrize(("text", "declares"), [("false", False), ("0", False), ("true", True)])
def test_whether_programs_declare(text: str, declares: bool) -> None:
    """The environment says it in words."""
    assert load(environ={"BRIDGE_DECLARE": text}).values.declare is declares


def test_the_app_alone_does_not_say_whether_programs_declare() -> None:
    """The worker would not know of it, and declare."""
    said = failure(flask_config={"BRIDGE_DECLARE": False})
    assert said.startswith("declare = False (from Flask's config): expected it in bridge.toml, the environment")


@pytest.mark.parametrize("url", ["host:15672", "amqp://host/", "http://", "https://me:sesame@/"])
def test_where_the_management_cannot_be(url: str) -> None:
    """It is spoken to over HTTP; a password in the URL is not repeated."""
    said = failure(f"management_url = '{url}'")
    assert said.endswith("expected http://host:15672 or https://host:15671")
    assert "sesame" not in said


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
def test_a_duration_is_a_number_of_seconds_or_says_its_unit(text: object, seconds: float) -> None:
    """As people write times."""
    assert duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "x", "-1", "1 week", True, None, [], "1e99d", "9" * 30 + "d"])
def test_anything_else_is_no_duration(text: object) -> None:
    """The message shows how one looks."""
    with pytest.raises(ValueError, match="expected a time"):
        duration(text)
