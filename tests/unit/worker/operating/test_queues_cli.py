"""The command lines of `bridge-queues` and `bridge-events cancel`, on an SQLite file."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bridge.console.exit_codes import ExitCode
from worker.history.cli import main as events_program
from worker.operating.queues_cli import main as queues_program


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory with settings and an empty database."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bridge.toml").write_text("[queues.mail]\npatterns = ['mail.#']\n[queues.default]\n")
    (tmp_path / "bridge.db").touch()


def queues(*words: str) -> Result:
    """Run bridge-queues. Rates are measured for a short time."""
    measured = ["--over", "10ms"] if words[0] in ("list", "show") else []
    return CliRunner().invoke(queues_program, [*words, *measured])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("pause", "--why", "x"), "expected either the name of a queue, or --events PATTERN"),
        (("pause", "mail", "--events", "a.#", "--why", "x"), "expected either the name of a queue, or --events"),
        (("pause", "mail"), "Missing option '--why'"),
        (("pause", "mial", "--why", "x"), "queue 'mial': expected one of mail, default"),
        (("pause", "mail", "--for", "soon", "--why", "x"), "'soon': expected"),
        (("pause", "--events", "a b", "--why", "x"), "pattern 'a b': expected dotted words"),
        (("resume", "mial"), "queue 'mial': expected one of mail, default"),
        (("show", "mial"), "queue 'mial': expected one of mail, default"),
        (("probe", "mial"), "queue 'mial': expected one of mail, default"),
        (("purge", "mail", "--why", "x"), "there is no terminal to ask on: give purge --yes"),
        (("purge", "mial", "--why", "x", "--yes"), "queue 'mial': expected one of mail, default"),
    ],
)
def test_wrong_usage_says_what_was_expected(words: tuple[str, ...], expected: str) -> None:
    """The exit code is 2, and nothing was decided."""
    result = queues(*words)

    assert result.exit_code == ExitCode.USAGE, result.output
    assert expected in result.stderr
    assert '"pauses": []' in queues("show", "mail", "--json").stdout


def test_several_pauses_of_a_queue_end_together() -> None:
    """`list` shows both, and `resume` ends both; a second one has nothing to do."""
    for why in ("provider down", "still down"):
        assert queues("pause", "mail", "--for", "1h", "--why", why).exit_code == ExitCode.DONE
    listed = queues("list").stdout
    assert "provider down; paused by" in listed
    assert "still down" in listed

    ended = json.loads(queues("resume", "mail", "--json").stdout)

    assert [each["why"] for each in ended] == ["provider down", "still down"]
    assert "provider down" not in queues("list").stdout
    again = queues("resume", "mail")
    assert (again.exit_code, "queue mail is not paused" in again.stderr) == (ExitCode.INCOMPLETE, True)


def test_a_queue_that_no_worker_holds_is_not_probed() -> None:
    """The exit code says so, to people and to programs."""
    result = queues("probe", "mail")
    assert (result.exit_code, result.stdout) == (ExitCode.INCOMPLETE, "")
    assert result.stderr == "no worker holds events of queue mail by a breaker\n"
    as_json = json.loads(queues("probe", "mail", "--json").stdout)
    assert as_json == {"queue": "mail", "workers": [], "missing": 0}


def test_a_paused_queue_that_the_settings_no_longer_have_can_be_resumed() -> None:
    """Else its pause would hold when the queue comes back."""
    queues("pause", "mail", "--why", "x")
    Path("bridge.toml").write_text("[queues.default]\n")

    assert queues("resume", "mail").exit_code == ExitCode.DONE


def test_the_reason_cannot_control_a_terminal() -> None:
    """Control characters are escaped, also those that another program wrote."""
    result = queues("pause", "mail", "--why", "\x1b[2J")

    for output in (result.stdout, queues("list").stdout, queues("show", "mail").stdout):
        assert "\x1b" not in output
        assert "\\x1b[2J" in output


@pytest.mark.parametrize("given", ["no id!", "a\udcffb", "ä", ""])
def test_a_wrong_id_cannot_be_cancelled(given: str) -> None:
    """A shell may give bytes that are no text."""
    result = CliRunner().invoke(events_program, ["cancel", given])

    assert (result.exit_code, "expected the id of an event" in result.stderr) == (ExitCode.USAGE, True)


def test_an_end_of_an_id_is_warned_of() -> None:
    """An end of an id, as lists show it, names no event of `defer()`: a warning says so. It may be a foreign id."""
    whole = "0192d3e4-8a5b-7c6d-9e0f-1a2b3c4d5e6f"
    result = CliRunner().invoke(events_program, ["cancel", "3c4d5e6f", whole, "--why", "x", "--json"])
    assert [json.loads(line)["event"] for line in result.stdout.splitlines()] == ["3c4d5e6f", whole]
    assert result.stderr == "Warning: 3c4d5e6f is not the whole id of an event of defer(), which is a UUID.\n"
