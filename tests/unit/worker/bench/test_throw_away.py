"""The throw-away site: its settings are the user's, without what would act, and nothing of it stays."""

import contextlib
from datetime import timedelta
from pathlib import Path

import pytest
from werkzeug.security import generate_password_hash

from bridge.brokers.opening import open_broker
from bridge.config.settings import Settings, load_settings
from bridge.config.sqlite_url import path_in
from bridge.errors import SettingsError
from bridge.queues import route
from bridge.topics import BENCHMARK
from worker.bench import recording
from worker.bench.throw_away import throw_away_site

TOML = """
namespace = "shop"
children = 3
max_memory = "512MiB"
deadline = "1m30s"
boot_timeout = "90s"
tls_ca = "ca.pem"
release = "7 \\"quoted\\" é"
history = {keep = "2h", limit = "64MiB"}
calls = 1
preload = true
http = "127.0.0.1:9464"
watchers = ["os:getpid"]
ledger_key = "0123456789abcdef0123456789abcdef"
publish = "spool"
[queues.mail]
patterns = ["mail.#"]
rate = "1/s"
[schedules.nightly]
event = "mail.nightly"
cron = "0 3 * * *"
"""

TABLES = f"""
mailboxes = ["q1"]
[ingress]
store = "shop"
[ingress.tokens."shop"]
hash = "sha256:{"0" * 64}"
events = ["order.#"]
rights = ["defer", "read"]
rate = "1234567.5/h"
[ingress.webhooks.bank]
secrets = ["whsec_{"A" * 32}"]
events = ["payment.#"]
[dashboard]
secret = "{"0" * 64}"
[dashboard.users.ana]
password = "{generate_password_hash("a password of ana", "pbkdf2:sha256:1")}"
role = "operate"
[stores.shop]
url = "sqlite:///shop.db"
[stores.old]
url = "redis://localhost/0"
classes = {{"Legacy::Mail" = "legacy.mail", "Näh😀" = "legacy.sew"}}
"""


@pytest.fixture
def user(tmp_path: Path) -> Settings:
    """The settings of a user, whose broker is a file."""
    (tmp_path / "bridge.toml").write_text(TOML.replace("1m30s", "90s"))
    return load_settings(environ={}, file=str(tmp_path / "bridge.toml"))


async def test_the_settings_are_the_users(user: Settings, tmp_path: Path) -> None:
    """Values of each type survive the way through the file; a file's path is absolute."""
    async with throw_away_site(user, {}) as site:
        values = site.settings.values

    assert (values.children, values.calls, values.preload, values.release) == (3, 1, True, '7 "quoted" é')
    assert (values.deadline, values.boot_timeout) == (timedelta(seconds=90), timedelta(seconds=90))
    assert (values.max_memory, values.history) == (512 * 1024**2, user.values.history)
    assert values.tls_ca == str(tmp_path / "ca.pem")


async def test_the_tables_that_an_app_needs_to_start(tmp_path: Path) -> None:
    """An app that has an ingress, the page or an outbox boots as it does elsewhere."""
    (tmp_path / "bridge.toml").write_text(TABLES)
    user = load_settings(environ={}, file=str(tmp_path / "bridge.toml"))
    async with throw_away_site(user, {}) as site:
        values = site.settings.values

    for key in ("ingress", "dashboard", "stores", "mailboxes"):
        assert getattr(values, key) == getattr(user.values, key)


async def test_nothing_acts_that_the_user_did_not_ask_for(user: Settings) -> None:
    """No schedule runs, no rate holds events, no port is bound, no watcher of the user is told, and events are in a
    namespace and a file of the benchmark."""
    async with throw_away_site(user, {}) as site:
        values = site.settings.values

    assert (values.schedules, values.http, values.ledger_key, values.publish) == ({}, None, None, "confirm")
    assert values.watchers == (f"{recording.__name__}:watch",)
    assert values.namespace.startswith("shop-bench-")
    assert values.broker_url != user.values.broker_url
    [queue] = site.settings.queues()
    assert queue.rate is None
    assert route([queue], BENCHMARK) == route([queue], "any.name") == (queue.name,)


async def test_the_worker_has_the_environment_without_its_settings(user: Settings) -> None:
    """A variable of the user, or of .env, would be stronger than the settings' file."""
    environ = {"BRIDGE_NAMESPACE": "shop", "BRIDGE_HTTP": "127.0.0.1:1", "BRIDGE_CONFIG": "x", "SECRET_KEY": "s"}
    async with throw_away_site(user, environ) as site:
        assert site.environment["SECRET_KEY"] == "s"
        assert site.environment["FLASK_SKIP_DOTENV"] == "1"
        assert not {"BRIDGE_NAMESPACE", "BRIDGE_HTTP", "BRIDGE_CONFIG"} & site.environment.keys()


async def test_nothing_stays(user: Settings, tmp_path: Path) -> None:
    """The file is on the disk of the user's file, and goes with all that the broker made, also on an error."""
    before = _files(tmp_path)
    with contextlib.suppress(ZeroDivisionError):
        async with throw_away_site(user, {}) as site:
            url = site.settings.values.broker_url
            broker = open_broker(url, site.settings.values.namespace)
            await broker.declare(site.settings.queues())
            await broker.close()
            assert path_in(url) in _files(tmp_path)
            assert _files(site.directory)
            raise ZeroDivisionError

    assert _files(tmp_path) == before
    assert _files(site.directory) == set()


def _files(directory: Path) -> set[str]:
    return {str(each) for each in directory.rglob("*")}


async def test_a_site_that_may_not_declare_is_refused(tmp_path: Path) -> None:
    """The message names the setting and its origin."""
    settings = load_settings(environ={"BRIDGE_DECLARE": "false"}, command_line={"broker_url": "amqp://localhost/"})

    with pytest.raises(SettingsError, match=r"declare = false \(from environment variable BRIDGE_DECLARE\)"):
        async with throw_away_site(settings, {}):
            pass


async def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The user's file may be in a directory that does not exist."""
    settings = load_settings(environ={}, command_line={"broker_url": f"sqlite:///{tmp_path}/no/bridge.db"})

    with pytest.raises(SettingsError, match=f"{tmp_path}/no"):
        async with throw_away_site(settings, {}):
            pass
