"""`bridge-relay`, from the command line to its exit. What it relays is tested with a broker, in `tests/journey`."""

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
    """It is told so, as a setting that cannot be used."""
    result = CliRunner().invoke(relay_cli.main, ["--broker-url", "sqlite:///bridge.db"])

    assert result.exit_code == 2
    assert "bridge.db': expected RabbitMQ; SQLite needs no spool" in result.stderr


def test_a_setting_that_is_none_is_told() -> None:
    """With its key and where it came from."""
    result = CliRunner().invoke(relay_cli.main, ["--namespace", "no good"])

    assert result.exit_code == 2
    assert "namespace = 'no good' (from command line)" in result.stderr


def test_a_broker_that_refuses_ends_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Waiting would not help, and no spool is made."""
    refusing = FakeBroker(declaring=raising(BrokerRefused("RabbitMQ refuses the login")))
    monkeypatch.setattr(relay_cli, "open_broker", lambda url, namespace, declare: refusing)

    result = CliRunner().invoke(relay_cli.main, ["--broker-url", "amqp://localhost/"])

    assert (result.exit_code, result.stderr) == (3, "bridge-relay: RabbitMQ refuses the login\n")
    assert list(tmp_path.iterdir()) == []
