"""Every setting is documented with its default, and every bridge.toml that is shown can be read."""

import re
from pathlib import Path

import pytest

from bridge.config.dashboard_settings import DashboardSettings, UserSettings
from bridge.config.foreign_pool import ForeignPoolSettings, ServerSettings
from bridge.config.ingress_settings import IngressSettings, TokenSettings, WebhookSettings
from bridge.config.pool_settings import PoolSettings
from bridge.config.reading import keys_of, table
from bridge.config.schedule_settings import ScheduleSettings
from bridge.config.settings import Settings, load_settings
from bridge.config.sidekiq_settings import SidekiqSettings
from bridge.config.store_settings import StoreSettings
from bridge.config.values import QueueSettings, RetrySettings, Values, WorkerGroupSettings
from bridge.errors import SettingsError
from tests.unit.docs.markdown import ROOT, Block, all_blocks, blocks, rows, section

PAGE = ROOT / "docs" / "settings.md"
ALL = ("What the app and the worker read", "What the app reads", "What the worker reads")
IN_WORDS = {
    "calls",
    *("queues", "source", "release", "children", "control_directory", "management_url", "watchers", "fastcgi"),
    "workers",
    *("file_group", "broker_password_file", "public_url", "replay_secret", "tls_ca", "tls_cert", "tls_key"),
    *("ledger_key", "ledger_key_previous", "mailboxes", "schedules", "http", "ingress", "pool", "stores", "dashboard"),
}
"""Whose default is a sentence and no value."""


def documented(*headings: str) -> dict[str, list[str]]:
    """The rows of the tables below these headings, by key."""
    found = [row for heading in headings for row in rows(section(PAGE, heading))]
    return {key: row for row in found for key in re.findall(r"`([a-z_]+)`", row[0])}


def read(path: Path, text: str) -> Settings:
    """The settings of a bridge.toml with this text."""
    (path / "bridge.toml").write_text(text, "utf-8")
    return load_settings(environ={}, file=str(path / "bridge.toml"))


@pytest.mark.parametrize("block", all_blocks("toml"), ids=str)
def test_every_bridge_toml_can_be_read(block: Block, tmp_path: Path) -> None:
    """Its keys exist, and its values are such as they should be."""
    settings = read(tmp_path, block.text)
    assert settings.origins


@pytest.mark.parametrize(
    ("headings", "kind"),
    [
        (ALL, Values),
        (("Queues",), QueueSettings),
        (("Queues",), RetrySettings),
        (("Groups of workers",), WorkerGroupSettings),
        (("A pool that others run",), ForeignPoolSettings),
    ],
)
def test_every_setting_is_documented(headings: tuple[str, ...], kind: type[object]) -> None:
    """In the table of its kind."""
    assert set(keys_of(kind)) <= documented(*headings).keys()


def test_the_keys_of_an_address_are_documented() -> None:
    """They stand below the table."""
    below = section(PAGE, "A pool that others run").rpartition("|")[2]
    assert set(keys_of(ServerSettings)) <= set(re.findall(r"`([a-z]+)`", below))


@pytest.mark.parametrize(
    ("page", "kind"),
    [
        ("schedules.md", ScheduleSettings),
        ("site.md", PoolSettings),
        ("outbox.md", StoreSettings),
        ("dashboard.md", DashboardSettings),
        ("dashboard.md", UserSettings),
        ("sidekiq.md", SidekiqSettings),
        ("ingress.md", IngressSettings),
        ("ingress.md", TokenSettings),
        ("ingress.md", WebhookSettings),
    ],
)
def test_a_setting_with_a_page_of_its_own_is_documented(page: str, kind: type[object]) -> None:
    """In a table of that page."""
    table_of_keys = {row[0].strip("`") for row in rows((ROOT / "docs" / page).read_text("utf-8"))}
    assert set(keys_of(kind)) <= table_of_keys


def test_the_default_that_is_documented_is_the_default(tmp_path: Path) -> None:
    """Written as documented, each setting has the value that it has when it is left out."""
    by_default, rows_by_key = read(tmp_path, "").values, documented(*ALL)
    for key in set(keys_of(Values)) - IN_WORDS:
        cell = rows_by_key[key][1].strip("`")
        bare = cell in ("true", "false") or cell.startswith(("{", "[")) or cell.isdigit()
        written = read(tmp_path, f"{key} = {cell}" if bare else f'{key} = "{cell}"')
        assert getattr(written.values, key) == getattr(by_default, key), key


def test_the_default_policy_that_is_documented_is_the_default() -> None:
    """The table of the keys of `retry`."""
    rows_by_key = documented("Queues")
    written = {key: rows_by_key[key][1].strip("`") for key in keys_of(RetrySettings)}
    assert table(RetrySettings)(written) == RetrySettings()


def test_what_flasks_config_may_say_is_documented() -> None:
    """A yes can be given there, and a no is refused."""
    accepted = {}
    for key, row in documented(*ALL).items():
        if key in keys_of(Values):
            try:
                load_settings(environ={}, flask_config={f"BRIDGE_{key.upper()}": object()})
            except SettingsError as error:
                accepted[key] = "(from Flask's config): expected it in" not in str(error)
            assert row[2] == ("yes" if accepted[key] else "no"), key


def test_the_tables_that_are_read_from_the_file_alone_are_documented() -> None:
    """The environment is refused as their place."""
    refused = set()
    for key in keys_of(Values):
        try:
            load_settings(environ={f"BRIDGE_{key.upper()}": "x"})
        except SettingsError as error:
            if "an environment variable cannot hold a table" in str(error):
                refused.add(key)
    [sentence] = re.findall(r"\*\*Tables\*\* \((.*?)\)", PAGE.read_text("utf-8"))
    assert set(re.findall(r"`(\w+)`", sentence)) == refused


def test_the_message_about_a_bad_value_is_as_shown() -> None:
    """Every program prints the same error for the environment of the example."""
    [example] = blocks(PAGE, "text")
    with pytest.raises(SettingsError) as raised:
        load_settings(environ={"BRIDGE_CHILDREN": "many"})
    assert f"{raised.value}\n" == example.text
