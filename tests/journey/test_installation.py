"""The wheel, installed into an empty environment as a user does, runs the README's example there."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guard import Guard
from tests.journey.page_follower import Follower
from tests.ports import free_port
from tests.unit.docs.markdown import README, ROOT, section
from tests.unit.test_package import EPOCH, build_package


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    """A guard that ends the processes of the test."""
    guard = Guard(tmp_path)
    yield guard
    guard.clear()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_readme_can_be_followed_after_pip_install(tmp_path: Path, guard: Guard) -> None:
    """With nothing in the environment but the wheel and what it depends on."""
    [wheel, _] = build_package().build(tmp_path / "dist", EPOCH)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    pip = [python, "-m", "pip", "install", "-q", "--constraint", str(ROOT / "constraints.txt")]
    subprocess.run([*pip, str(wheel)], check=True, timeout=600)

    shop = tmp_path / "shop"
    shop.mkdir()
    follower = Follower(
        shop,
        {
            **{key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))},
            **guard.environment,
            "PATH": f"{tmp_path / 'venv' / 'bin'}:{os.environ['PATH']}",
            "BRIDGE_CONTROL_DIRECTORY": str(tmp_path / "control"),
            "NO_PROXY": "*",
        },
        {"5000": str(free_port())},
        lambda line: line.startswith(("mkdir", "python3 -m venv", ". .venv", "pip install")),
    )
    follower.follow(section(README, "Your app").partition("### With an application factory")[0])

    follower.await_worker("hello ann@example.org")
    assert "bridge-dlq list    # what could not be delivered, and why" in follower.typed
    found = "import bridge; print(bridge.__file__)"
    where = subprocess.run([python, "-c", found], cwd=shop, capture_output=True, text=True, check=True).stdout
    assert where.startswith(str(tmp_path / "venv"))
