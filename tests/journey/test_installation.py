"""The wheel, installed into an empty environment as a user does, runs the README's example there."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guard import Guard
from tests.journey.page_follower import Follower
from tests.journey.site import PROGRAMS
from tests.limits import PATIENCE
from tests.ports import free_port
from tests.unit.docs.markdown import README, ROOT, section
from tests.unit.test_package import EPOCH, build_package


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    """A guard that ends the processes of the test."""
    guard = Guard(tmp_path)
    yield guard
    guard.clear()


PACKAGE = "deferred_event_bridge"
INTERNAL = f"{PACKAGE}.dashboard."
"""The beginning of the names in the modules of the page. Its public names are few, and mypy checks them."""

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with nothing in it but the wheel and what it depends on."""
    directory = tmp_path_factory.mktemp("installed")
    [wheel, _] = build_package().build(directory / "dist", EPOCH)
    subprocess.run([sys.executable, "-m", "venv", directory / "venv"], check=True)
    pip = [str(directory / "venv" / "bin" / "pip"), "install", "-q", "--constraint", str(ROOT / "constraints.txt")]
    subprocess.run([*pip, str(wheel)], check=True, timeout=600)
    return directory / "venv"


def test_the_readme_can_be_followed_after_pip_install(installed: Path, tmp_path: Path, guard: Guard) -> None:
    """Its programs run the example, and Python finds the packages in that environment."""
    shop = tmp_path / "shop"
    shop.mkdir()
    follower = Follower(
        shop,
        {
            **{key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))},
            **guard.environment,
            "PATH": f"{installed / 'bin'}:{os.environ['PATH']}",
            "BRIDGE_CONTROL_DIRECTORY": str(tmp_path / "control"),
            "BRIDGE_PUBLISH_TIMEOUT": f"{PATIENCE:g}s",
            "NO_PROXY": "*",
        },
        {"5000": str(free_port())},
        lambda line: line.startswith(("mkdir", "python3 -m venv", ". .venv", "pip install")),
    )
    follower.follow(section(README, "Your app").partition("### When an event fails")[0])

    follower.await_worker("hello ann@example.org")
    assert "bridge-dlq list    # what could not be delivered, and why" in follower.typed
    found = [str(installed / "bin" / "python"), "-c", "import bridge; print(bridge.__file__)"]
    where = subprocess.run(found, cwd=shop, capture_output=True, text=True, check=True).stdout
    assert where.startswith(str(installed))


def test_pyright_knows_the_type_of_every_public_name(installed: Path, tmp_path: Path) -> None:
    """By the marks `py.typed`, without a guess. Types of other libraries are theirs."""
    ran = subprocess.run(
        [str(PROGRAMS / "basedpyright"), "--verifytypes", PACKAGE, "--ignoreexternal", "--outputjson"],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{installed / 'bin'}:{os.environ['PATH']}"},  # it looks at the python in PATH
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    found = json.loads(ran.stdout)["typeCompleteness"]
    exported = [each for each in found["symbols"] if each["isExported"] and not each["name"].startswith(INTERNAL)]
    assert [each["name"] for each in exported if not each["isTypeKnown"]] == []
    assert len(exported) > 60
