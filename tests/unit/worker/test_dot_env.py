"""`.env` and `.flaskenv` in the programs: those that run a site read them, and the others say that they do not."""

from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

import app_adapter.cli
import app_adapter.relay_cli
import worker.cli
import worker.pool_cli
import worker.site.cli


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with both files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FLASK_APP", raising=False)
    (tmp_path / ".flaskenv").write_text("FLASK_APP=shop:app\nBRIDGE_CHILDREN=7")
    (tmp_path / ".env").write_text("BRIDGE_CHILDREN=3\nBRIDGE_NAMESPACE=shop")
    return tmp_path


@pytest.mark.parametrize(
    ("program", "words"),
    [(worker.cli, []), (worker.pool_cli, ["--bind", "unix:/run/app.sock"])],
    ids=["worker", "pool"],
)
def test_a_program_that_loads_an_app_reads_them(
    program: Any, words: list[str], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The app, and the settings of the program itself. The environment and the command line are stronger."""
    served: list[Any] = []

    def run(serving: Coroutine[Any, Any, Any]) -> int:
        serving.close()
        return 0

    async def nothing() -> None: ...

    def serve(options: Any) -> Coroutine[Any, Any, Any]:
        served.append(options)
        return nothing()

    monkeypatch.setattr(program, "serve", serve)
    monkeypatch.setattr(program.uvloop, "run", run)
    for arguments, environment in (([], {}), ([], {"BRIDGE_CHILDREN": "5"}), (["office:app"], {"FLASK_APP": "no:app"})):
        result = CliRunner().invoke(program.main, [*words, *arguments], env=environment)
        assert result.exit_code == 0, result.output

    assert [options.app for options in served] == ["shop:app", "shop:app", "office:app"]
    assert [options.settings.values.children for options in served] == [3, 5, 3]
    assert {options.settings.values.namespace for options in served} == {"shop"}


@pytest.mark.parametrize(
    ("command", "words"),
    [(app_adapter.relay_cli.main, []), *((worker.site.cli.main, [name]) for name in worker.site.cli.main.commands)],
    ids=["relay", *worker.site.cli.main.commands],
)
def test_a_program_beside_the_app_reads_them(command: click.Command, words: list[str], here: Path) -> None:
    """The relay, and each command of bridge-site: a wrong value of `.env` is a wrong setting, and nothing is unread."""
    (here / ".env").write_text("BRIDGE_NAMESPACE='no name'")

    result = CliRunner().invoke(command, words)

    assert result.exit_code == 2, result.output
    assert "namespace = 'no name' (from environment variable BRIDGE_NAMESPACE)" in result.stderr
    assert "Warning" not in result.stderr


@pytest.mark.parametrize(("command", "words"), [(app_adapter.cli.main, ["not a name"])])
def test_a_program_that_loads_no_app_says_what_it_does_not_read(
    command: click.Command, words: list[str], here: Path
) -> None:
    """On standard error, before it does its work."""
    result = CliRunner().invoke(command, words)

    assert f"Warning: BRIDGE_CHILDREN, BRIDGE_NAMESPACE not read from {here}/" in result.stderr


def test_a_pool_without_an_app_is_a_wrong_usage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither an argument, nor the environment, nor a file names one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FLASK_APP", raising=False)

    result = CliRunner().invoke(worker.pool_cli.main, ["--bind", "unix:/run/app.sock"])

    assert (result.exit_code, "expected APP, such as shop:app, or FLASK_APP" in result.output) == (2, True)
