"""Two apps on one broker and namespace: the worker that starts second and the doctor tell of it."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.brokers.contract.findings import FindingState
from bridge.config.settings import load_settings
from bridge.status import UnreadableStatus
from tests.unit.bridge.statuses import WORKER
from worker.control.apps import FOREIGN_POOL
from worker.control.control_socket import ControlSocket, control_path
from worker.doctor import apps
from worker.start_log import warn_of_other_apps

SHOP, BLOG = replace(WORKER, app="shop:app"), replace(WORKER, app="blog:create_app()")


@pytest.mark.parametrize(("app", "warned"), [("shop:app", True), ("blog:create_app()", False), (FOREIGN_POOL, False)])
async def test_a_worker_of_another_app_is_warned_of(
    tmp_path: Path, app: str, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Each would take the other's events. Several workers of one app are as it should be."""
    settings = load_settings(environ={"BRIDGE_CONTROL_DIRECTORY": str(tmp_path / "c")})

    async with ControlSocket(control_path(settings.values), lambda: BLOG):
        await warn_of_other_apps(settings, app, settings.queues())

    assert ("another worker runs blog:create_app() with the same broker" in caplog.text) is warned


async def test_another_namespace_is_another_site(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Apps of different namespaces share a file without harm."""
    ours, other = (
        load_settings(environ={"BRIDGE_CONTROL_DIRECTORY": str(tmp_path / "c"), "BRIDGE_NAMESPACE": name})
        for name in ("shop", "blog")
    )

    async with ControlSocket(control_path(other.values), lambda: BLOG):
        await warn_of_other_apps(ours, "shop:app", ours.queues())
        assert await asyncio.to_thread(apps.examine, ours.values) == []

    assert caplog.records == []


def test_the_doctor_tells_of_two_apps() -> None:
    """The finding names the apps."""
    (found,) = apps.judge([SHOP, BLOG, SHOP], "bridge")

    assert found.state is FindingState.WRONG
    assert found.sentence == (
        "workers of namespace 'bridge' run different apps, and take each other's events: blog:create_app(), shop:app"
    )


def test_workers_of_one_app_are_in_order() -> None:
    """So is a worker whose app is not known, and one that does not answer."""
    foreign = replace(WORKER, app=FOREIGN_POOL)

    assert apps.judge([SHOP, SHOP, foreign, UnreadableStatus(pid=7, trouble="it does not answer")], "bridge") == []


def test_apps_with_queues_of_their_own_are_in_order() -> None:
    """Two apps may share a namespace if no queue is served by both."""
    mail = replace(BLOG, serving=replace(BLOG.serving, queues={"news": BLOG.serving.queues["mail"]}))

    assert apps.judge([SHOP, mail], "bridge") == []
    assert apps.judge([SHOP, BLOG, mail], "bridge") != []
