"""A deploy that points a symbolic link to the app's new version: the pool's next version starts there."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.child_protocol import Ready
from bridge.errors import SettingsError
from tests.limits import PATIENCE
from worker.pool.app_directory import enter_app_directory
from worker.pool.child import Child
from worker.pool.client import PoolClient
from worker.pool.plan import PoolPlan
from worker.pool.process import BootFailed, Launch
from worker.pool.supervisor import Supervisor

APP = """
from pathlib import Path
from flask import Flask
from app_adapter import DeferredEvents

app = Flask(__name__)
app.config["BRIDGE_RELEASE"] = f"{Path(__file__).parent.name} in {Path.cwd().name}, VERSION"
app.config["BRIDGE_BROKER_URL"] = "sqlite:////nowhere/bridge.db"
DeferredEvents(app)
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A directory with two releases of an app, and the link `current` to the first."""
    for name in ("one", "two"):
        release = tmp_path / "releases" / name
        release.mkdir(parents=True)
        (release / "shop.py").write_text(APP.replace("VERSION", f"version {name}"))
        (release / "bridge.toml").write_text(f"namespace = '{name}'")
    (tmp_path / "current").symlink_to("releases/one")
    return tmp_path


def point(site: Path, release: str) -> None:
    """Point the link to another release in one step, as deploy programs do."""
    (site / "next").symlink_to(release)
    (site / "next").rename(site / "current")


@pytest.fixture(params=[False, True], ids=["own boot", "preload"])
async def pool(request: pytest.FixtureRequest, site: Path) -> AsyncIterator[Supervisor]:
    """A pool of one child of the app in `current`."""
    files = {"BRIDGE_CONFIG": Path("bridge.toml")}
    launch = Launch("app_adapter.app_server", "shop:app", 60.0, {}, site / "current", files)
    supervisor = Supervisor(launch, PoolPlan(1, preload=request.param), lambda pid, line: None)
    yield supervisor
    await supervisor.stop()


class Client:
    """The user of a pool, which notes the children that were seated."""

    def __init__(self) -> None:
        self.seated: list[Ready] = []
        self.has_two = asyncio.Event()

    def callbacks(self) -> PoolClient:
        """Return the callbacks for the pool."""
        return PoolClient(
            lambda ready: None,
            self._wait,
            self._sit,
            self._wait,
            lambda child, how: None,
            lambda child, why: None,
            lambda why: None,
        )

    def _sit(self, child: Child) -> None:
        self.seated.append(child.ready)
        if len(self.seated) == 2:
            self.has_two.set()

    async def _wait(self, child: Child) -> None:
        """Have nothing to wait for."""


async def test_a_reload_starts_where_the_link_leads_now(pool: Supervisor, site: Path) -> None:
    """The new child has the new code, working directory and settings' file. Then it goes back to the old release."""
    client = Client()
    await pool.start()
    await pool.keep(client.callbacks())
    point(site, "releases/two")
    await pool.reload()
    assert pool.directory == site / "releases" / "two"
    point(site, "releases/one")
    await pool.reload()

    assert [ready.release for ready in client.seated] == [
        "one in one, version one",
        "two in two, version two",
        "one in one, version one",
    ]
    assert [ready.settings["namespace"] for ready in client.seated] == ["one", "two", "one"]


async def test_a_child_that_is_replaced_without_a_reload_has_the_old_version(pool: Supervisor, site: Path) -> None:
    """Otherwise two versions would run at a time, and nobody has asked for that."""
    client = Client()
    await pool.start()
    await pool.keep(client.callbacks())
    point(site, "releases/two")
    pool.resize(2)
    await asyncio.wait_for(client.has_two.wait(), PATIENCE)

    assert {ready.release for ready in client.seated} == {"one in one, version one"}


async def test_a_link_that_leads_nowhere_leaves_the_old_version_running(pool: Supervisor, site: Path) -> None:
    """The error names the directory."""
    client = Client()
    await pool.start()
    await pool.keep(client.callbacks())
    point(site, "releases/three")

    with pytest.raises(BootFailed, match=r"No such file or directory: .*/releases/three"):
        await pool.reload()

    assert pool.directory == site / "releases" / "one"


def test_the_name_of_the_directory_is_that_of_the_shell(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel knows the release alone."""
    monkeypatch.chdir(site / "current")

    assert enter_app_directory(None, {"PWD": str(site / "current")}) == site / "current"


@pytest.mark.parametrize("pwd", ["", "elsewhere", "gone", "relative"])
def test_another_name_is_not_believed(pwd: str, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process may have changed its directory after its shell has set PWD."""
    monkeypatch.chdir(site / "current")
    names = {"": "", "elsewhere": str(site), "gone": str(site / "gone"), "relative": "."}

    assert enter_app_directory(None, {"PWD": names[pwd]}) == site / "releases" / "one"
    assert enter_app_directory(None, {}) == site / "releases" / "one"


@pytest.mark.parametrize("relative", [False, True])
def test_a_given_directory_is_entered_and_its_name_is_kept(
    relative: bool, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--chdir` is for service managers, which set no PWD."""
    monkeypatch.chdir(site)

    name = enter_app_directory("current" if relative else str(site / "current"), {})

    assert (name, Path.cwd()) == (site / "current", site / "releases" / "one")


def test_a_directory_that_cannot_be_entered_is_a_wrong_setting(site: Path) -> None:
    """The error names the option and the directory."""
    before = Path.cwd()

    with pytest.raises(SettingsError, match=r"--chdir '/no/such': expected a directory: No such file"):
        enter_app_directory("/no/such", {})

    assert Path.cwd() == before
