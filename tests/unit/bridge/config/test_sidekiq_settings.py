"""`[stores.NAME]` of a queue of Sidekiq: the URL decides what a store is, and a wrong value is an error that names
it."""

from pathlib import Path

import pytest

from bridge.config.redis_url import RedisServer, redis_url
from bridge.config.settings import load_settings
from bridge.config.sidekiq_settings import SidekiqSettings
from bridge.config.store_settings import StoreSettings, outboxes, relayed_queues, sidekiq_queues
from bridge.errors import SettingsError


def stores(directory: Path, text: str) -> dict[str, StoreSettings | SidekiqSettings]:
    """Return the stores of a `bridge.toml` with this text."""
    (directory / "bridge.toml").write_text(text, "utf-8")
    return dict(load_settings(environ={}, file=str(directory / "bridge.toml")).values.stores)


def test_the_url_decides_what_a_store_is(tmp_path: Path) -> None:
    """A queue without classes is only for `defer()`. The file of the password is next to `bridge.toml`."""
    found = stores(
        tmp_path,
        """
        [stores.shop]
        url = "postgresql://host/shop"
        [stores.old]
        url = "redis://bridge@host/1"
        password_file = "redis-password"
        classes = {DeferEvent = "legacy.defer"}
        [stores.ruby]
        url = "rediss://host"
        queue = "critical"
        """,
    )

    assert list(outboxes(found)) == ["shop"]
    assert list(sidekiq_queues(found)) == ["old", "ruby"]
    assert list(relayed_queues(found)) == ["old"]
    (tmp_path / "redis-password").write_text("s3cret/%\n")
    assert relayed_queues(found)["old"].server.complete_url() == "redis://bridge:s3cret%2F%25@host/1"


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ('url = "redis://host/x"', "expected the number of a database at the end"),
        ('url = "redis://host/0/1"', "expected the number of a database at the end"),
        ('url = "redis://host:port/0"', "expected"),
        ('url = "redis://host/1?db=1"', "expected the number of the database once"),
        ('url = "redis://host?ssl_cert_reqs=none"', "with no parameters but db"),
        ('url = "unix://?db=1"', "expected redis://host:6379/0"),
        ('url = "unix:///run/r.sock?db=one"', "expected db to be the number"),
        ('url = "redis:host"', "expected redis://host:6379/0"),
        ('url = "memcached://host"', "or redis://… for a queue of Sidekiq"),
        ('url = "redis://host"\nkeep_marks = "1d"', "keep_marks = … (from"),
        ('url = "postgresql://host/shop"\nqueue = "default"', "queue = … (from"),
        ('url = "redis://host"\nqueue = "a b"', "expected the name of a Sidekiq queue"),
        ('url = "redis://host"\nqueue = ""', "expected the name of a Sidekiq queue"),
        ('url = "redis://host"\nclasses = {A = "not a name"}', "stores.old.classes.A = 'not a name'"),
        ('url = "redis://host"\nclasses = {A = "bridge.dead"}', "those are reserved"),
        ('url = "redis://host"\nclasses = ["A"]', "expected a table"),
        ('url = "redis://host"\npoll = "0s"', "stores.old.poll"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, table: str, why: str) -> None:
    """With what was expected."""
    with pytest.raises(SettingsError) as error:
        stores(tmp_path, f"[stores.old]\n{table}")

    assert why in str(error.value)
    assert str(error.value).startswith("stores.old.")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:p%2Fw@host:7/3", "redis://host:7/3"),
        ("rediss://host?db=3&ssl_ca_certs=/ca", "rediss://host/3"),
        ("redis://", "redis://localhost"),
        ("unix://user:pw@/run/redis.sock?db=3", "unix:///run/redis.sock?db=3"),
    ],
)
def test_a_server_is_shown_without_its_login(url: str, shown: str) -> None:
    """With its database."""
    assert str(RedisServer(redis_url(url))) == shown


def test_a_password_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    """It names the file."""
    with pytest.raises(SettingsError, match=r"password_file of a store = .*none'.*expected a file that exists"):
        RedisServer("redis://bridge@host", f"{tmp_path}/none").complete_url()
