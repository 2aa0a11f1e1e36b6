"""`bridge-outbox`: the statements that it prints make the tables, and it counts and prunes what is in them."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import create_engine, insert

from app_adapter import outbox_cli
from bridge.publishing.outbox.tables import tables
from tests.outbox.doubles import commit
from tests.unit.bridge.publishing.doubles import an_event
from worker.control import status_cli


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a bridge.toml that has one store."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bridge.toml").write_text('[stores.shop]\nurl = "sqlite:///shop.db"\n')
    return tmp_path


def run(*words: str) -> Result:
    """Run bridge-outbox with these arguments."""
    return CliRunner().invoke(outbox_cli.main, words)


def make_tables() -> None:
    """Run the statements that the program prints for the dialect of the store."""
    with closing(sqlite3.connect("shop.db")) as connection:
        connection.executescript(run("ddl").stdout)


def test_it_counts_what_waits() -> None:
    """As text and as JSON."""
    make_tables()
    empty = run("list")
    commit(create_engine("sqlite:///shop.db"), [an_event(1), an_event(2)])

    assert empty.stdout == "shop: 0 events\n"
    assert run("list").stdout.startswith("shop: 2 events, the oldest ")
    assert '"events": 2' in run("list", "--json", "--store", "shop").stdout


def test_it_deletes_old_marks_alone() -> None:
    """Those of the given age."""
    make_tables()
    now = datetime.now(UTC).replace(tzinfo=None)
    with create_engine("sqlite:///shop.db").begin() as connection:
        for days in range(5):
            mark = {"event_id": str(days), "listener": "shop:f", "done_at": now - timedelta(days=days, hours=1)}
            connection.execute(insert(tables("bridge").once).values(mark))

    assert run("prune", "--older-than", "2d").stdout == "shop: 3 marks deleted\n"
    assert run("prune", "--older-than", "2d").stdout == "shop: 0 marks deleted\n"


def test_missing_tables_exit_with_3() -> None:
    """The error names the command that prints them."""
    result = run("list")

    assert result.exit_code == 3
    assert "no such table: bridge_outbox; `bridge-outbox ddl` prints" in result.stderr


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["list", "--store", "other"], "--store other: expected one of shop"),
        (["ddl", "--dialect", "oracle"], "'oracle' is not one of"),
    ],
)
def test_wrong_usage_exits_with_2(words: list[str], error: str) -> None:
    """The error has what was expected."""
    result = run(*words)

    assert result.exit_code == 2
    assert error in result.stderr


def test_ddl_needs_a_dialect_without_stores(here: Path) -> None:
    """It prints nothing rather than a guess."""
    (here / "bridge.toml").write_text("")

    assert "--dialect: expected one of postgresql" in run("ddl").stderr


@pytest.mark.parametrize("program", ["outbox_cli import main; main(['ddl'])", "relay_cli import main; main([])"])
def test_without_sqlalchemy_the_extra_is_named(program: str) -> None:
    """By both programs."""
    code = f"import sys; sys.modules['sqlalchemy'] = None; from app_adapter.{program}"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "pip install 'deferred-event-bridge[sqlalchemy]'" in done.stderr


def test_a_password_comes_from_its_file(here: Path) -> None:
    """Only the programs that use the database read it."""
    (here / "bridge.toml").write_text('[stores.a]\nurl = "postgresql://u@127.0.0.1:1/d"\npassword_file = "secret"\n')

    missing = run("list")
    (here / "secret").write_text("sesame\n")
    refused = run("list")

    assert missing.exit_code == 2
    assert "password_file of a store" in missing.stderr
    assert refused.exit_code == 3
    assert "postgresql://127.0.0.1:1/d: " in refused.stderr
    assert "sesame" not in refused.stderr


@pytest.mark.parametrize(
    ("url", "error"),
    [("oracle://host/x", "expected postgresql://"), ("postgresql://host/", "expected the name of a database")],
)
def test_a_url_that_names_no_database_is_a_wrong_setting(here: Path, url: str, error: str) -> None:
    """The error has the key, and not the URL."""
    (here / "bridge.toml").write_text(f'[stores.a]\nurl = "{url}"\n')

    assert f"stores.a.url = '{url.partition('://')[0] + '://…' if 'postgres' in url else '…'}'" in run("list").stderr
    assert error in run("list").stderr


def test_bridge_status_shows_it() -> None:
    """Without a worker, and with what is wrong."""
    wrong = CliRunner().invoke(status_cli.main, [])
    make_tables()
    commit(create_engine("sqlite:///shop.db"), [an_event(1)])
    shown = CliRunner().invoke(status_cli.main, [])

    assert "outbox shop: sqlite:///" in wrong.stdout
    assert "no such table" in wrong.stdout
    assert "outbox shop: 1 event, the oldest " in shown.stdout
