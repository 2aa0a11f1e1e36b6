"""`bridge-move`, the program: its report, its exit codes and its refusals. Both brokers are files here."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bridge.brokers.contract.broker import Broker
from bridge.brokers.opening import open_broker
from bridge.queues import Queue
from tests.contract.acts import an_event, publish_some
from tests.contract.sqlite_site import SqliteSite
from tests.limits import PATIENCE
from worker.moving.move_cli import main


@pytest.fixture(autouse=True)
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SqliteSite:
    """An old file with two events of the queue `default`, in the working directory, whose settings name a new one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bridge.toml").write_text('broker_url = "sqlite:///new.db"\n', "utf-8")
    site = SqliteSite(f"sqlite:///{tmp_path}/old.db")
    on(site.url, lambda broker: publish_some(broker, 2))
    return site


def on(url: str, work: Callable[[Broker], Coroutine[Any, Any, None]]) -> None:
    """Do something on a broker."""

    async def opened() -> None:
        broker = open_broker(url, "bridge")
        await broker.declare([Queue("default")])
        await work(broker)
        await broker.close()

    asyncio.run(opened())


def move(*words: str) -> Result:
    """Run the program."""
    return CliRunner().invoke(main, words, prog_name="bridge-move")


def test_the_report_counts_what_was_moved_and_what_is_left() -> None:
    """A table for people; the exit code is 0 if nothing is left."""
    result = move("sqlite:///old.db")

    assert result.exit_code == 0, result.output
    assert ["events", "that", "are", "due", "2", "0"] in [line.split() for line in result.stdout.splitlines()]
    assert ["pauses", "0", "-"] in [line.split() for line in result.stdout.splitlines()]


def test_the_report_as_json() -> None:
    """One object."""
    document = json.loads(move("sqlite:///old.db", "--json").stdout)

    assert (document["moved"]["due"], document["left"]["due"]) == (2, 0)
    assert document["open_elsewhere"] is False


def test_a_dry_run_changes_nothing(old: SqliteSite) -> None:
    """It counts, and makes no new file."""
    first, second = move("sqlite:///old.db", "--dry-run", "--json"), move("sqlite:///old.db", "--dry-run")

    assert json.loads(first.stdout)["would_move"]["due"] == 2
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert not Path("new.db").exists()
    with closing(old.connection()) as connection:
        assert connection.execute('SELECT count(*) FROM "bridge.event"').fetchone() == (2,)


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (["sqlite:///none.db"], 3, "there is no file"),
        (["amqp://localhost/"], 2, "expected sqlite:///path"),
        (["nonsense"], 2, "expected sqlite:///path"),
        (["sqlite:///"], 2, "expected the path of a file"),
        (["sqlite:///old.db", "--to", "sqlite:///./old.db"], 2, "another file"),
        (["sqlite:///old.db", "--to", "http://x/"], 2, "expected"),
        (["sqlite:///old.db", "--old-namespace", "shop"], 3, "its namespaces are bridge"),
        (["sqlite:///bridge.toml"], 3, "not a database"),
        (["sqlite:///old.db", "--to", "amqp://127.0.0.1:1/"], 3, "127.0.0.1:1"),
    ],
)
def test_what_cannot_be_moved_is_named(old: SqliteSite, words: list[str], code: int, complaint: str) -> None:
    """With what was expected, and nothing is moved."""
    result = move(*words)

    assert result.exit_code == code, result.output
    assert complaint in result.stderr
    with closing(old.connection()) as connection:
        assert connection.execute('SELECT count(*) FROM "bridge.event"').fetchone() == (2,)


def test_a_queue_that_the_new_site_lacks_is_asked_for_first(old: SqliteSite) -> None:
    """Before anything is moved."""

    async def publish(broker: Broker) -> None:
        await broker.declare([Queue("reports", ("report.#",))])
        await broker.publisher().publish(an_event("report.due"))

    on(old.url, publish)

    result = move("sqlite:///old.db")

    assert result.exit_code == 2
    assert "reports" in result.stderr
    assert not Path("new.db").exists()


def test_ctrl_c_ends_a_watch_with_the_report(old: SqliteSite) -> None:
    """The exit code is that of the signal."""
    with closing(old.connection()) as reader:
        reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
        program = subprocess.Popen(
            [sys.executable, "-c", "from worker.moving.move_cli import main; main()", old.url, "--watch", "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert program.stderr is not None
        for line in program.stderr:
            if "watching the old file" in line:
                break
        program.send_signal(signal.SIGINT)
        output, _ = program.communicate(timeout=PATIENCE)

    assert program.returncode == 128 + signal.SIGINT
    assert json.loads(output)["moved"]["due"] == 2


def test_a_process_that_has_the_file_open_is_named(old: SqliteSite) -> None:
    """And the exit code is 1, because it may write to the file."""
    holder = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT 1 FROM sqlite_master')\n"
    program = subprocess.Popen(
        [sys.executable, "-c", holder + "print(flush=True); input()", str(old.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    program.stdout.readline()
    try:
        result = move("sqlite:///old.db")
    finally:
        program.communicate("\n", timeout=PATIENCE)

    assert result.exit_code == 1
    assert f"(pid {program.pid})" in result.stdout
    assert move("sqlite:///old.db").exit_code == 0
