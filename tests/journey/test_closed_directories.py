"""Programs and directories that their user may not enter: each program says so, or does without what is there."""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.journey.site import PROGRAMS
from tests.limits import PATIENCE

AS_A_USER = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"] if not os.geteuid() else []
"""Takes root's right to enter every directory away."""

BROKER = {"BRIDGE_BROKER_URL": "sqlite:///{closed}/bridge.db"}
CLOSED = "Permission denied"


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory with an app and settings. Its path is short enough for control sockets."""
    with tempfile.TemporaryDirectory(prefix="bridge-", dir="/tmp") as directory:
        (Path(directory) / "bridge.toml").write_text("namespace = 'shop'\n")
        app = "from deferred_event_bridge import DeferredEvents\nfrom flask import Flask\n\napp = Flask(__name__)\n"
        (Path(directory) / "shop.py").write_text(f"{app}DeferredEvents(app)\n")
        yield Path(directory)


@pytest.fixture
def closed(open_directory: Path) -> Iterator[Path]:
    """A directory that nobody may enter, with settings and a password in it."""
    directory = open_directory / "closed"
    directory.mkdir()
    for name in ("bridge.toml", ".env", "password"):
        (directory / name).write_text("")
    directory.chmod(0)
    yield directory
    directory.chmod(0o700)


def ended(command: str, directory: Path, environment: Mapping[str, str]) -> tuple[int, str]:
    """Run a program in a directory that is closed to its user, if it is; return its exit code and what it says."""
    program, *words = command.split()
    # The shell enters the directory as root, or before its mode is 0.
    enter = ["sh", "-c", 'mode=$(stat -c %a "$0"); chmod u+x "$0"; cd "$0"; chmod "$mode" .; exec "$@"', str(directory)]
    told = subprocess.run(
        [*enter, *AS_A_USER, str(PROGRAMS / program), *words],
        env={"PATH": os.environ["PATH"], **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return told.returncode, told.stdout


@pytest.mark.parametrize(
    "command",
    [
        *("bridge-status", "bridge-queues", "bridge-dlq list", "bridge-events", "bridge-relay", "bridge-site down"),
        *("bridge-defer a.b", "bridge-mailbox get a", "bridge-web", "bridge-ingress token a"),
    ],
)
def test_the_working_directory_is_closed(command: str, open_directory: Path, closed: Path) -> None:
    """With settings that name all places, a program does there what it does elsewhere."""
    site = {
        "BRIDGE_CONFIG": str(open_directory / "bridge.toml"),
        "BRIDGE_BROKER_URL": f"sqlite:///{open_directory}/missing/bridge.db",
        "BRIDGE_CONTROL_DIRECTORY": str(open_directory / "control"),
        "FLASK_APP": "",
    }

    code, said = ended(command, closed, site)

    assert CLOSED not in said
    assert "Traceback" not in said
    elsewhere = open_directory / "elsewhere"
    elsewhere.mkdir()
    if command != "bridge-ingress token a":  # which draws a token
        assert (code, said) == ended(command, elsewhere, site)


def test_settings_below_a_closed_directory_are_not_found(closed: Path) -> None:
    """The search goes on above it, as git's does."""
    code, said = ended("bridge-status", closed, {})

    assert code == 1
    assert f"{closed}/bridge.db, namespace 'shop'" not in said
    assert f"{closed.parent}/bridge.db, namespace 'shop'" in said


def test_the_working_directory_was_deleted(open_directory: Path) -> None:
    """The message says so, and not where the program looked."""
    gone = open_directory / "gone"
    gone.mkdir()

    told = subprocess.run(
        ["sh", "-c", 'cd "$0" && rmdir "$0" && exec "$@"', str(gone), str(PROGRAMS / "bridge-status")],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

    assert told.returncode == 2
    assert told.stderr == "Error: the working directory: expected one that exists: No such file or directory\n"


@pytest.mark.parametrize(
    ("command", "environment", "code", "said"),
    [
        ("bridge-status --config {closed}/bridge.toml", {}, 2, "bridge.toml cannot be looked at"),
        (
            "bridge-queues",
            {"BRIDGE_BROKER_URL": "amqp://shop@host/", "BRIDGE_BROKER_PASSWORD_FILE": "{closed}/password"},
            2,
            "BRIDGE_BROKER_PASSWORD_FILE): expected a file that can be read",
        ),
        ("bridge-queues", BROKER, 3, "SQLite database {closed}/bridge.db"),
        ("bridge-dlq list", BROKER, 3, "SQLite database {closed}/bridge.db"),
        ("bridge-events cancel a", BROKER, 3, "SQLite database {closed}/bridge.db"),
        ("bridge-move sqlite:///{closed}/a.db --to amqp://host/", {}, 3, "SQLite database {closed}/a.db"),
        ("bridge-status", {"BRIDGE_CONTROL_DIRECTORY": "{closed}/c"}, 0, "the sockets in {closed}/c are not believed"),
        ("bridge-doctor", {"BRIDGE_CONTROL_DIRECTORY": "{closed}/c"}, 3, "does not believe the workers in {closed}/c"),
        ("bridge-site up shop:app", {"BRIDGE_CONTROL_DIRECTORY": "{closed}/c"}, 2, "control_directory {closed}/c"),
        (
            "bridge-status",
            {"BRIDGE_BROKER_URL": "amqp://host/", "BRIDGE_PUBLISH": "spool", "BRIDGE_SPOOL": "{closed}/s.db"},
            1,
            "spool {closed}/s.db: SQLite database {closed}/s.db",
        ),
    ],
)
def test_a_closed_directory_is_named(
    command: str, environment: Mapping[str, str], code: int, said: str, open_directory: Path, closed: Path
) -> None:
    """The message has the path, or the setting, and the cause."""
    environment = {name: value.format(closed=closed) for name, value in environment.items()}

    found, told = ended(command.format(closed=closed), open_directory, environment)

    assert (found, "Traceback" in told) == (code, False), told
    (line,) = [each for each in told.splitlines() if said.format(closed=closed) in each]
    assert CLOSED in line


def test_a_session_of_another_user_is_left_out(open_directory: Path, closed: Path) -> None:
    """`su` leaves XDG_RUNTIME_DIR as it was. The program looks for sockets in the other places only."""
    code, said = ended("bridge-status", open_directory, {"XDG_RUNTIME_DIR": str(closed)})

    assert (code, str(closed) in said) == (1, False)
    assert "no worker runs for" in said
