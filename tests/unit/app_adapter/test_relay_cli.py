"""`bridge-relay`, from the command line to its exit. Relaying is tested with a broker in `tests/journey`."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from app_adapter import relay_cli
from bridge.errors import BrokerRefused
from tests.unit.app_adapter.doubles import FakeBroker, raising


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_an_sqlite_broker_has_nothing_to_relay() -> None:
    """The program exits with an error about the setting."""
    result = CliRunner().invoke(relay_cli.main, ["--broker-url", "sqlite:///bridge.db"])

    assert result.exit_code == 2
    assert "bridge.db': expected RabbitMQ, or an outbox or a Sidekiq queue with classes in [stores]" in result.stderr


def test_an_unknown_setting_is_reported() -> None:
    """The error has the setting's key and its origin."""
    result = CliRunner().invoke(relay_cli.main, ["--namespace", "no good"])

    assert result.exit_code == 2
    assert "namespace = 'no good' (from command line)" in result.stderr


def test_a_watcher_that_cannot_be_imported_is_a_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program exits before it connects to the broker."""
    monkeypatch.setenv("BRIDGE_WATCHERS", "nowhere:watch")

    result = CliRunner().invoke(relay_cli.main, ["--broker-url", "amqp://localhost/"])

    assert result.exit_code == 2
    assert "watchers = 'nowhere:watch' (from environment variable BRIDGE_WATCHERS)" in result.stderr


def test_a_broker_that_refuses_ends_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Waiting would not help, and no spool is made."""
    refusing = FakeBroker(declaring=raising(BrokerRefused("RabbitMQ refuses the login")))
    monkeypatch.setattr(relay_cli, "open_broker_of", lambda settings: refusing)

    result = CliRunner().invoke(relay_cli.main, ["--broker-url", "amqp://localhost/"])

    assert (result.exit_code, result.stderr) == (3, "Error: RabbitMQ refuses the login\n")
    assert list(tmp_path.iterdir()) == []
