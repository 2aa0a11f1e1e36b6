"""`bridge-site`: all processes of a site as one."""

import json
import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from signal import SIGINT, SIGKILL, SIGTERM
from typing import Any

import pytest

from tests.journey.site import APPS, PROGRAMS, Program, Site, eventually
from tests.limits import PATIENCE
from tests.ports import free_port

POOL = '[pool]\nbind = "unix:{directory}/app.sock"\n'
SMALL = 'children = 1\nspare = 0\npreload = true\ngrace = "10s"\n'


class WholeSite:
    """A site whose processes `bridge-site` runs."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def up(self, *arguments: str, app: str = "behaving:app") -> Program:
        """Start the site in the foreground."""
        return self.site.run("bridge-site", "up", app, *arguments)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [str(PROGRAMS / "bridge-site"), *arguments],
            cwd=self.site.directory,
            env={**os.environ, **self.site.environment},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def status(self) -> dict[str, Any]:
        """Return what `bridge-site status --json` prints; nothing if the site is not up."""
        printed = self.run("status", "--json").stdout
        return dict(json.loads(printed)) if printed else {}

    def pid(self, name: str) -> int:
        """Return the process id of a process of the site."""
        return next(int(each["pid"]) for each in self.status()["processes"] if each["name"] == name)


@pytest.fixture
def whole(here: Site) -> Iterator[WholeSite]:
    """A site on SQLite with a worker of one child, and a control directory of its own."""
    with tempfile.TemporaryDirectory(prefix="bridge-") as directory:
        here.environment["BRIDGE_CONTROL_DIRECTORY"] = f"{directory}/control"
        here.configure(SMALL)
        yield WholeSite(here)


async def test_a_day_of_a_site(whole: WholeSite) -> None:
    """It runs events, starts a process that was killed again, is there once, and ends its processes in order."""
    whole.site.configure(SMALL + POOL.format(directory=whole.site.directory))
    site = whole.up()
    await site.says("the site is ready: pool, worker")
    assert [each["state"] for each in whole.status()["processes"]] == ["ready", "ready"]
    with closing(socket.socket(socket.AF_UNIX)) as client:
        client.connect(f"{whole.site.directory}/app.sock")

    killed = whole.pid("worker")
    os.kill(killed, SIGKILL)
    await site.says("worker was ended by SIGKILL; it is started again")
    [id] = await whole.site.defer("do.it", "ok")
    await eventually(lambda: bool(whole.site.effects(id=id, began=False)), report=lambda: site.log)
    await eventually(lambda: whole.status()["ready"], report=lambda: site.log)
    assert whole.status()["processes"][1]["restarts"] == 1
    assert whole.pid("worker") != killed

    second = whole.run("up", "behaving:app")
    assert (second.returncode, "up already" in second.stderr) == (1, True)

    site.signal(SIGTERM)
    assert await site.ended() == 0
    assert site.log.index("stopping pool") < site.log.index("requests served") < site.log.index("stopping worker")
    assert whole.run("status").returncode == 1
    await eventually(lambda: whole.site.processes == [], report=lambda: str(whole.site.processes))


async def test_in_the_background(whole: WholeSite) -> None:
    """`up --detach` returns when the site is ready, `restart` when it is ready again with the new settings, and `down`
    when it has ended."""
    up = whole.run("up", "behaving:app", "--detach")
    assert up.returncode == 0, up.stderr
    before = whole.status()
    whole.site.configure(SMALL + POOL.format(directory=whole.site.directory))

    restarted = whole.run("restart")
    after = whole.status()
    down = whole.run("down")

    assert restarted.returncode == 0, restarted.stderr
    assert [each["name"] for each in before["processes"]] == ["worker"]
    assert [each["name"] for each in after["processes"]] == ["pool", "worker"]
    assert before["pid"] == after["pid"]
    assert (down.returncode, whole.status()) == (0, {})
    await eventually(lambda: whole.site.processes == [], report=lambda: str(whole.site.processes))


async def test_a_log_that_cannot_be_written(whole: WholeSite) -> None:
    """The processes do not wait for it: one that prints more than a pipe holds becomes ready, and serves."""
    talking = "print('a line of the app that is going to be served\\n' * 20_000)\nfrom behaving import app\n"
    (whole.site.directory / "talking.py").write_text(talking)
    command = f"exec {PROGRAMS / 'bridge-site'} up talking:app >/dev/full 2>&1"
    site = Program(["sh", "-c", command], whole.site.directory, whole.site.environment)

    await eventually(lambda: bool(whole.status().get("ready")), report=lambda: str(whole.status()))

    assert [each["restarts"] for each in whole.status()["processes"]] == [0]
    site.signal(SIGTERM)
    assert await site.ended() == 0


async def test_in_the_background_without_its_broker(whole: WholeSite) -> None:
    """`up --detach` says which process is not ready and where the reason is, and ends with 1 after `down`."""
    whole.site.environment["BRIDGE_BROKER_URL"] = f"amqp://127.0.0.1:{free_port()}/"
    up = whole.up("--detach")

    await up.says("not all is ready (worker ")
    down = whole.run("down")

    assert down.returncode == 0, down.stderr
    assert await up.ended() == 1
    assert f"{whole.site.directory}/bridge-site.log has the reason" in up.log


async def test_a_site_that_is_killed(whole: WholeSite) -> None:
    """Its processes end too, and the next `up` is not hindered by what it left behind."""
    site = whole.up()
    await site.says("the site is ready")
    site.signal(SIGKILL)
    await eventually(lambda: whole.site.processes == [], report=lambda: str(whole.site.processes))

    again = whole.up()
    await again.says("the site is ready")
    again.signal(SIGINT)
    assert await again.ended() == 0


@pytest.mark.parametrize(
    ("toml", "app", "code", "why"),
    [
        ("children = 0\n", "behaving:app", 2, "children = 0"),
        (SMALL + "max_body = 4\n[queues.x]\nretry = 'no:policy'\n", "behaving:app", 2, "worker | "),
        (SMALL, "nowhere:app", 4, "worker ended with exit status 4 before it was ready"),
    ],
    ids=["settings", "settings of a process", "app"],
)
async def test_a_site_that_cannot_start(whole: WholeSite, toml: str, app: str, code: int, why: str) -> None:
    """It ends with the exit code of the process that cannot start, instead of trying again without end."""
    whole.site.configure(toml)

    site = whole.up(app=app)

    assert await site.ended() == code, site.log
    assert why in site.log


async def test_a_change_of_the_code(whole: WholeSite) -> None:
    """With --dev, a changed file is booted, and an app that could not boot is tried again."""
    app, works = whole.site.directory / "changing.py", (APPS / "behaving.py").read_text()
    app.write_text("import nothing_of_this_name\n")
    site = whole.up("--dev", app="changing:app")
    await site.says("worker ended with exit status 4; it is started again")

    app.write_text(works)
    await site.says("the site is ready")
    app.write_text(works + "\n# changed\n")
    await site.says("new children took over")

    site.signal(SIGTERM)
    assert await site.ended() == 0


def test_the_schedules(whole: WholeSite) -> None:
    """`bridge-site schedules` tells each schedule's moments in words, and the next one."""
    whole.site.configure(
        '[schedules.nightly]\nevent = "report.nightly"\ncron = "0 3 * * *"\ntimezone = "Europe/Berlin"\n'
    )

    shown, listed = whole.run("schedules"), whole.run("schedules", "--json")

    assert "At 03:00 every day (Europe/Berlin)" in shown.stdout
    [schedule] = json.loads(listed.stdout)
    assert (schedule["name"], schedule["event"], schedule["catch_up"]) == ("nightly", "report.nightly", 3600.0)
    assert schedule["next"][11:] in ("01:00:00+00:00", "02:00:00+00:00")


def test_the_units_are_written(whole: WholeSite) -> None:
    """`bridge-site units --write` makes the files, and `--json` prints them."""
    folder = whole.site.directory / "units"
    folder.mkdir()

    written = whole.run("units", "behaving:app", "--user", "shop", "--write", str(folder))
    printed = json.loads(whole.run("units", "behaving:app", "--user", "shop", "--json").stdout)

    assert written.returncode == 0, written.stderr
    assert {path.name: path.read_text() for path in folder.iterdir()} == printed
    assert "User=shop" in printed["bridge-worker.service"]
