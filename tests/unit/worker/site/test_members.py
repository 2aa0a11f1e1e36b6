"""Which processes a site has, and what is done when one ends."""

from pathlib import Path

import pytest

from bridge.config.settings import Settings, load_settings
from bridge.console.exit_codes import ExitCode
from bridge.errors import SettingsError
from worker.site.members import Stage, members_of
from worker.site.restarts import GiveUp, StartAgain, after_end


def settings(path: Path, text: str) -> Settings:
    (path / "bridge.toml").write_text(text)
    return load_settings(environ={}, file=str(path / "bridge.toml"))


def test_a_worker_alone(tmp_path: Path) -> None:
    """Without further settings there is one worker, with the same settings file and the same log."""
    found = members_of(settings(tmp_path, ""), "shop:app", ("--log-format", "json"))

    assert [each.command for each in found] == [
        ("bridge-worker", "shop:app", "--config", f"{tmp_path}/bridge.toml", "--log-format", "json")
    ]


def test_all_of_them(tmp_path: Path) -> None:
    """The pool that is described, and the relay of a site that spools. They end in the order of their stages."""
    found = members_of(
        settings(
            tmp_path,
            'broker_url = "amqp://localhost/"\npublish = "spool"\n'
            '[pool]\nbind = "127.0.0.1:9000"\napp = "front:app"\nallow = ["10.0.0.0/8", "192.0.2.0/24"]\n',
        ),
        "shop:app",
    )

    pool, worker, relay = (each.command for each in found)
    assert pool[:4] == ("bridge-pool", "front:app", "--bind", "127.0.0.1:9000")
    assert pool[4:8] == ("--allow", "10.0.0.0/8", "--allow", "192.0.2.0/24")
    assert worker[:2] == ("bridge-worker", "shop:app")
    assert relay == ("bridge-relay", "--config", f"{tmp_path}/bridge.toml")
    assert [each.stage for each in found] == [Stage.POOL, Stage.WORKERS, Stage.RELAY]


def test_a_site_with_an_outbox_has_a_relay(tmp_path: Path) -> None:
    """Whatever its broker."""
    found = members_of(settings(tmp_path, '[stores.shop]\nurl = "sqlite:///shop.db"\n'), "shop:app")

    assert [each.program for each in found] == ["bridge-worker", "bridge-relay"]


def test_a_worker_for_each_group(tmp_path: Path) -> None:
    """With the app of its group, or else that of the site, and the time to finish that its group has."""
    found = members_of(
        settings(
            tmp_path,
            '[queues.mail]\n[queues.default]\n[workers.mail]\nqueues = ["mail"]\napp = "mail:app"\ngrace = "5s"\n'
            '[workers.rest]\nqueues = ["default"]\n',
        ),
        "shop:app",
    )

    config = ("--config", f"{tmp_path}/bridge.toml")
    assert [(each.name, each.command, each.grace) for each in found] == [
        ("worker-mail", ("bridge-worker", "--group", "mail", *config), 5.0),
        ("worker-rest", ("bridge-worker", "shop:app", "--group", "rest", *config), 30.0),
    ]


def test_a_worker_of_a_foreign_pool_has_no_app(tmp_path: Path) -> None:
    """Its pool runs the app."""
    (worker,) = members_of(settings(tmp_path, '[fastcgi]\naddresses = ["127.0.0.1:9000"]\n'), None)

    assert worker.command == ("bridge-worker", "--config", f"{tmp_path}/bridge.toml")


def test_no_app(tmp_path: Path) -> None:
    """The message says what is missing."""
    with pytest.raises(SettingsError, match="the worker has no app: expected APP"):
        members_of(settings(tmp_path, ""), None)


@pytest.mark.parametrize(
    "line", ['bind = "app.sock"', 'bind = "unix:/app.sock"\nallow = ["everybody"]', 'app = "shop:app"']
)
def test_a_pool_that_cannot_be(tmp_path: Path, line: str) -> None:
    """A wrong address or network, or none, is an error in the settings."""
    with pytest.raises(SettingsError, match=r"pool\."):
        settings(tmp_path, f"[pool]\n{line}\n")


@pytest.mark.parametrize(
    ("code", "was_ever_ready", "patient", "decision"),
    [
        pytest.param(ExitCode.USAGE, False, False, GiveUp(2), id="wrong settings"),
        pytest.param(ExitCode.APP, False, False, GiveUp(4), id="the app cannot boot"),
        pytest.param(ExitCode.APP, True, False, StartAgain(4.0), id="it could before"),
        pytest.param(ExitCode.APP, False, True, StartAgain(4.0), id="a developer mends it"),
        pytest.param(ExitCode.BROKER, False, False, StartAgain(4.0), id="the broker is away"),
        pytest.param(ExitCode.DONE, True, False, StartAgain(4.0), id="nobody asked it to end"),
        pytest.param(-9, False, False, StartAgain(4.0), id="killed"),
    ],
)
def test_after_an_end(code: int, was_ever_ready: bool, patient: bool, decision: object) -> None:
    """A process is started again, unless another start could not help."""
    found = after_end(code, was_ever_ready=was_ever_ready, failures=3, chance=0.0, patient=patient)

    assert found == decision
