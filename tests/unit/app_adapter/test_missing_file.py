"""Programs whose SQLite file does not exist: the error says what was asked for and is not done."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click import Group
from click.testing import CliRunner

from app_adapter import call_cli, cli, fork_safe_publishing, mailbox_cli
from app_adapter.fork_safe_publishing import PublishingThreads
from bridge.console.exit_codes import ExitCode


@pytest.fixture(autouse=True)
def own_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Publishing threads of this test alone."""
    threads = PublishingThreads()
    monkeypatch.setattr(fork_safe_publishing, "_threads_of_this_process", threads)
    yield
    threads.close()


@pytest.mark.parametrize(
    ("program", "words", "undone"),
    [
        (mailbox_cli.main, ["get", "q1"], "no message was fetched"),
        (mailbox_cli.main, ["put", "q1", "hello"], "no message was put"),
        (call_cli.main, ["a.b", "--timeout", "0.5s"], "nothing ran"),
        (cli.main, ["a.b"], "nothing was published"),
    ],
    ids=["get", "put", "call", "defer"],
)
def test_the_error_says_what_is_not_done(
    program: Group, words: list[str], undone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing else; the file is not made."""
    file = tmp_path / "none.db"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BRIDGE_PUBLISH_TIMEOUT", "0.5s")

    result = CliRunner().invoke(program, [*words, "--broker-url", f"sqlite:///{file}"])

    assert result.exit_code == ExitCode.BROKER, result.output
    assert undone in result.stderr
    assert ("nothing was published" in result.stderr) == (program is cli.main)
    assert not file.exists()
