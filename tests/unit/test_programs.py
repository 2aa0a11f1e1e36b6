"""The command lines of all programs: options, help, version and exit codes."""

import json
import re
import tomllib
from collections.abc import Sequence
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import NamedTuple

import click
import pytest
from click.testing import CliRunner, Result

import app_adapter.call_cli
import app_adapter.cli
import app_adapter.ingress_cli
import app_adapter.mailbox_cli
import app_adapter.outbox_cli
import app_adapter.relay_cli
import dead_letter.cli
import worker.bench.cli
import worker.cli
import worker.control.status_cli
import worker.doctor.cli
import worker.history.cli
import worker.moving.move_cli
import worker.operating.queues_cli
import worker.pool_cli
import worker.site.cli
from bridge.console.exit_codes import ExitCode
from deferred_event_bridge.dashboard import top_cli, web_cli

ROOT = Path(__file__).parents[2]
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]


class Program(NamedTuple):
    """A program: its command, its required arguments, and the common options that it has."""

    command: click.Command
    words: Sequence[str]
    options: str


BROKER = "--config --broker-url --namespace"
LOGS = "--log-format --log-level"
PROGRAMS = {
    "bridge-worker": Program(worker.cli.main, ["shop:app"], f"{BROKER} {LOGS}"),
    "bridge-pool": Program(worker.pool_cli.main, ["shop:app", "--bind", "unix:/no/app.sock"], f"--config {LOGS}"),
    "bridge-events": Program(worker.history.cli.main, ["list"], BROKER),
    "bridge-outbox": Program(app_adapter.outbox_cli.main, ["list"], ""),
    "bridge-ingress": Program(app_adapter.ingress_cli.main, ["token", "shop"], BROKER),
    "bridge-mailbox": Program(app_adapter.mailbox_cli.main, ["get", "q1"], BROKER),
    "bridge-move": Program(worker.moving.move_cli.main, ["sqlite:///old.db"], f"--config --namespace --json {LOGS}"),
    "bridge-relay": Program(app_adapter.relay_cli.main, [], f"{BROKER} {LOGS}"),
    "bridge-dlq": Program(dead_letter.cli.main, ["list"], BROKER),
    "bridge-defer": Program(app_adapter.cli.main, ["a.b"], f"{BROKER} --json"),
    "bridge-call": Program(app_adapter.call_cli.main, ["a.b"], f"{BROKER} --json"),
    "bridge-doctor": Program(worker.doctor.cli.main, [], f"{BROKER} --json"),
    "bridge-queues": Program(worker.operating.queues_cli.main, ["list"], BROKER),
    "bridge-status": Program(worker.control.status_cli.main, [], "--config --json"),
    "bridge-top": Program(top_cli.main, [], f"{BROKER} --json"),
    "bridge-web": Program(web_cli.main, ["serve"], BROKER),
    "bridge-site": Program(worker.site.cli.main, ["status"], "--config"),
    "bridge-bench": Program(worker.bench.cli.main, ["shop:app"], f"{BROKER} --json"),
}
DLQ = dead_letter.cli.main.commands


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(program: str, *words: str) -> Result:
    """Run a program with these arguments only."""
    return CliRunner().invoke(PROGRAMS[program].command, words, prog_name=program)


def test_the_table_has_every_program() -> None:
    """The table lists exactly the scripts of the distribution."""
    assert set(PROGRAMS) == set(SCRIPTS)


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_script_runs_the_command_line(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The installed entry point of a program runs its command line."""
    (entry,) = (each for each in entry_points(group="console_scripts") if each.name == program)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as exited:
        patch.setattr("sys.argv", [program, "--help"])
        entry.load()()

    assert entry.value == SCRIPTS[program]
    assert exited.value.code == ExitCode.DONE
    assert (PROGRAMS[program].command.help or "")[:40] in capsys.readouterr().out


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_has_help(program: str) -> None:
    """`-h` and `--help` print the same help with examples, and every option has a help text."""
    help_text = run(program, "-h").stdout

    assert help_text == run(program, "--help").stdout
    assert f" {program} " in help_text.split("Examples:\n")[1]
    assert all(option.help for option in PROGRAMS[program].command.params if isinstance(option, click.Option))


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_has_the_common_options(program: str) -> None:
    """A program has the expected common options, and no others of them."""
    expected = {*PROGRAMS[program].options.split(), "--version"}
    common = {*BROKER.split(), *LOGS.split(), "--json", "--version"}

    found = {name for option in PROGRAMS[program].command.params for name in option.opts} & common

    assert found == expected


@pytest.mark.parametrize("name", ["--config", "--broker-url", "--namespace", "--log-format", "--log-level"])
def test_an_option_means_the_same_everywhere(name: str) -> None:
    """A common option has the same help text in all programs."""
    options = [option for program in PROGRAMS.values() for option in program.command.params if name in option.opts]

    assert len({option.help for option in options if isinstance(option, click.Option)}) == 1


@pytest.mark.parametrize("command", worker.operating.queues_cli.main.commands)
def test_every_command_of_bridge_queues_prints_json(command: str) -> None:
    """Every command of bridge-queues has the option `--json`."""
    options = worker.operating.queues_cli.main.commands[command].params
    assert "--json" in {name for option in options for name in option.opts}


@pytest.mark.parametrize("command", DLQ)
def test_every_command_that_prints_data_prints_json(command: str) -> None:
    """Every command of bridge-dlq has the option `--json`, those that list have it in `list`. The output of `replay` is
    the app's, and that of `export` is Python."""
    found = DLQ[command]
    if isinstance(found, click.Group):
        found = found.commands["list"]
    has_json = "--json" in {name for option in found.params for name in option.opts}
    assert has_json == (command not in ("replay", "export"))


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_prints_its_version(program: str) -> None:
    """`--version` prints the version of the distribution."""
    assert version("deferred-event-bridge") in run(program, "--version").stdout


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("words", [["--no-such-option"], ["--config", "none.toml"]], ids=["usage", "settings"])
def test_an_unusable_option_or_setting_exits_with_2(program: str, words: list[str]) -> None:
    """The error is printed to standard error, without a traceback."""
    result = run(program, *words, *PROGRAMS[program].words)

    assert (result.exit_code, result.stdout) == (ExitCode.USAGE, "")
    assert "Error: " in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_error_cannot_control_a_terminal(program: str) -> None:
    """Control characters from the settings file are escaped in an error."""
    Path("bridge.toml").write_text('namespace = "\\u001b[2J\\u202e[bold]"\n')

    result = run(program, *PROGRAMS[program].words)

    assert result.exit_code == ExitCode.USAGE
    assert "[bold]" in result.stderr
    assert result.stderr.replace("\n", "").isprintable()


@pytest.mark.parametrize("program", ["bridge-dlq", "bridge-defer", "bridge-doctor", "bridge-queues", "bridge-bench"])
def test_an_unreachable_broker_exits_with_3(program: str) -> None:
    """A program that cannot reach its broker exits with 3. bridge-worker is tested in `tests/journey`; bridge-relay
    waits for the broker, and the other programs need none."""
    assert run(program, "--broker-url", "amqp://127.0.0.1:1/", *PROGRAMS[program].words).exit_code == ExitCode.BROKER


def _without_durations(output: str) -> str:
    return re.sub(r"[0-9]+\.[0-9]+", "", output)


@pytest.mark.parametrize("program", ["bridge-dlq", "bridge-events", "bridge-queues"])
@pytest.mark.parametrize("options", [(), ("--json",), ("--namespace", "list"), ("--namespace", "shop", "--json")])
def test_without_a_command_a_program_lists(program: str, options: tuple[str, ...]) -> None:
    """With the options of the program, of `list`, or both. A wrong command is named."""
    Path("bridge.db").touch()
    first, *others = PROGRAMS[program].words

    found, listed = run(program, *options), run(program, first, *options, *others)

    assert found.exit_code == ExitCode.DONE, found.output
    assert _without_durations(found.output) == _without_durations(listed.output)
    assert "No such command 'lst'" in run(program, "lst").stderr


def test_a_deferred_event_as_json() -> None:
    """bridge-defer prints the id, type and time of the event that it deferred."""
    Path("bridge.db").touch()  # bridge-defer makes no file
    result = run("bridge-defer", "account.created", "--json", "--broker-url", "sqlite:///bridge.db")

    assert result.exit_code == ExitCode.DONE, result.output
    assert json.loads(result.stdout).keys() == {"id", "type", "time"}
