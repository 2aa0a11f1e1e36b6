"""The exit codes and messages of the program if it cannot do what the user asked for."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from dead_letter.cli import main

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Change to a directory without a `bridge.toml`, and with an empty broker."""
    monkeypatch.chdir(tmp_path)
    Path("bridge.db").touch()


def _run(*words: str) -> Result:
    return CliRunner().invoke(main, words, catch_exceptions=False)


def _commands() -> Iterator[tuple[str, ...]]:
    yield ()
    yield from ((name,) for name in main.commands)


def test_a_file_that_is_not_there_is_not_made() -> None:
    """Otherwise a wrong directory would look like a site without dead letters."""
    Path("bridge.db").unlink()

    result = _run("list")

    assert (result.exit_code, Path("bridge.db").exists()) == (3, False)
    assert f"there is no file {Path.cwd()}/bridge.db; give --broker-url or --config" in result.stderr


@pytest.mark.parametrize("command", list(_commands()), ids=" ".join)
def test_every_command_has_help_with_an_example(command: tuple[str, ...]) -> None:
    """Every option has a help text too."""
    result = _run(*command, "--help")

    assert result.exit_code == 0
    assert "Examples:\n" in result.stdout
    assert "bridge-dlq" in result.stdout.split("Examples:\n")[1]
    found = main.commands[command[0]] if command else main
    assert all(option.help for option in found.params if isinstance(option, click.Option))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--broker-url", "redis://localhost"), "broker_url = 'redis://…' (from command line): expected"),
        (("--namespace", "a b"), "namespace = 'a b' (from command line): expected"),
        (("--config", "none.toml"), "config 'none.toml': expected a file"),
        (("list", "--event", "a..b"), "pattern 'a..b': expected"),
        (("list", "--older", "yesterday"), "'yesterday': expected a time such as"),
        (("list", "--limit", "0"), "0 is not in the range"),
        (("redrive", "--all", "--rate", "50"), "'50': expected a rate such as 50/s"),
        (("redrive", "--yes"), "redrive which letters?"),
        (("redrive", "--all", "17", "--yes"), "redrive which letters?"),
        (("discard", "--all", "--queue", "mail", "--yes"), "discard which letters?"),
        (("discard", "17", "--queue", "mail", "--yes"), "discard which letters?"),
        (("show", "17", "--body", "--json"), "expected one of them"),
        (("show", "…"), "expected a number, or the end of an id"),
    ],
)
def test_a_wrong_argument_is_named(words: tuple[str, ...], expected: str) -> None:
    """The exit code is 2. The message has the argument and the expected form."""
    result = _run(*words)

    assert result.exit_code == 2
    assert expected in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    "command", [("list",), ("show", "17"), ("redrive", "--all", "--yes"), ("discard", "1", "--yes")]
)
@pytest.mark.parametrize("url", ["amqp://127.0.0.1:1/", "sqlite:///no/such/folder/bridge.db", "sqlite:///junk.db"])
def test_a_broker_that_cannot_be_reached(url: str, command: tuple[str, ...]) -> None:
    """The exit code is 3. One sentence names the broker."""
    Path("junk.db").write_bytes(b"no database, but long enough to look like one" * 100)

    result = _run("--broker-url", url, *command)

    assert result.exit_code == 3
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert ("127.0.0.1" if url.startswith("amqp") else url.rpartition("/")[2]) in result.stderr


def test_no_password_is_shown() -> None:
    """This holds for errors, and for the commands that the program proposes."""
    result = _run("--broker-url", "amqp://ann:s3cret@127.0.0.1:1/")

    assert result.exit_code == 3
    assert "s3cret" not in result.output


def test_output_that_cannot_be_written() -> None:
    """A full disk is one sentence without a traceback."""
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "dead_letter.cli", "--broker-url", f"sqlite:///{Path.cwd()}/bridge.db"]
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr == "Error: the output cannot be written: No space left on device\n"
