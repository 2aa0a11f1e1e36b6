"""bridge-dlq replay and export: a dead letter in an app of one's own. They only read the ledger, as show does, so they
are tested on SQLite."""

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.contract.acts import an_event
from tests.contract.dead_letter_program import Dlq

if TYPE_CHECKING:
    from tests.contract.sqlite_site import SqliteSite

APP = """
from pathlib import Path
from flask import Flask
from app_adapter import DeferredEvents, Event, defer

app = Flask(__name__)
events = DeferredEvents(app)


@events.on("mail.sent")
def welcome(event: Event):
    address = event.payload["email"]
    defer("order.paid", {"to": address})
    Path(__file__).with_name("effects").write_text(address)
"""


@pytest.fixture
def dlq(sqlite_site: "SqliteSite", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dlq:
    """The program in a directory with an app."""
    monkeypatch.chdir(tmp_path)
    Path("shop.py").write_text(APP, "utf-8")
    return Dlq.on(sqlite_site, tmp_path)


def _app() -> str:
    return f"{Path.cwd()}/shop.py:app"


def test_a_letter_is_run_and_nothing_is_published(dlq: Dlq) -> None:
    """The exit code is 0 after a success. The letter stays open, and what the listener deferred is only printed."""
    dlq.kill(an_event("mail.sent", b'{"email": "ann@example.org"}'))
    before = dlq.entries()

    with dlq.start("replay", "1", "--app", _app(), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        printed = process.stdout.read().decode()

    assert (process.returncode, Path("effects").read_text()) == (0, "ann@example.org")
    assert "It deferred order.paid, which is not published: {'to': 'ann@example.org'}" in printed
    assert "Delivered." in printed
    assert dlq.entries() == before


def test_a_letter_that_fails_again_opens_the_debugger(dlq: Dlq) -> None:
    """In the frame of the listener, with its variables. The exit code is 1."""
    dlq.kill(an_event("mail.sent", b'{"name": "ann"}'))

    process = dlq.start(
        *("replay", "1", "--app", _app(), "--pdb"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    shown, errors = process.communicate(b"p 'name is ' + event.payload['name']\nq\n")

    assert process.returncode == 1
    assert b"name is ann" in shown
    assert b"Failed: KeyError: 'email'" in shown
    assert b"in welcome" in errors


ENDS = {
    "os._exit(3)": "its process ended with exit status 3 while it ran the event",
    "os._exit(0)": "its process ended with exit status 0 while it ran the event",
    "os.kill(os.getpid(), 9)": "its process was ended by SIGKILL while it ran the event",
}


@pytest.mark.parametrize("statement", ENDS)
def test_a_listener_that_ends_its_process_is_said(dlq: Dlq, statement: str) -> None:
    """With the status or the signal. The exit code is 1, and not the one of the listener."""
    dlq.kill(an_event("mail.sent", b'{"email": "ann@example.org"}'))
    Path("shop.py").write_text(APP.replace('address = event.payload["email"]', f"import os; {statement}"), "utf-8")

    result = dlq("replay", "1", "--app", _app())

    assert (result.exit_code, result.stderr) == (1, f"Error: letter 1: {ENDS[statement]}\n")


def test_what_an_app_does_at_its_exit_changes_no_exit_code(dlq: Dlq) -> None:
    """The event failed, so the exit code is 1."""
    dlq.kill(an_event("mail.sent", b"{}"))
    ending = "import atexit, os; atexit.register(os._exit, 0)\n"
    Path("shop.py").write_text(ending + APP, "utf-8")

    assert dlq("replay", "1", "--app", _app()).exit_code == 1


def test_an_app_that_ends_its_process_at_its_import_is_said(dlq: Dlq) -> None:
    """The exit code is 4, as for every app that cannot boot."""
    dlq.die("mail.sent")
    Path("shop.py").write_text("import os; os._exit(0)", "utf-8")

    result = dlq("replay", "1", "--app", _app())

    assert (result.exit_code, result.stderr) == (
        4,
        "Error: letter 1: its process ended with exit status 0 while it loaded the app\n",
    )


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("raise Reject('no address')", "the listener raised Reject, which is an answer and not an error"),
        ("raise Retry(5)", "the listener raised Retry, which is an answer and not an error"),
    ],
)
def test_the_debugger_is_not_opened_for_an_answer(dlq: Dlq, statement: str, why: str) -> None:
    """One line says why, and what opens it."""
    dlq.kill(an_event("mail.sent", b"{}"))
    imported = "from app_adapter import Reject, Retry\n"
    Path("shop.py").write_text(imported + APP.replace('address = event.payload["email"]', statement), "utf-8")

    with dlq.start("replay", "1", "--app", _app(), "--pdb", stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        printed = process.stdout.read().decode()

    assert process.returncode == 1
    assert f"No debugger: {why}. breakpoint() in the listener opens one." in printed


def test_the_debugger_is_not_opened_without_an_exception(dlq: Dlq) -> None:
    """No listener takes this event."""
    dlq.die("order.paid")

    with dlq.start("replay", "1", "--app", _app(), "--pdb", stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        printed = process.stdout.read().decode()

    assert "No debugger: no exception was raised." in printed


def test_an_app_that_cannot_boot_is_said(dlq: Dlq) -> None:
    """The exit code is 4."""
    dlq.die("mail.sent")

    assert dlq("replay", "1", "--app", f"{Path.cwd()}/none.py:app").exit_code == 4


def test_an_exported_test_fails_before_the_fix_and_passes_after_it(dlq: Dlq) -> None:
    """With the whole event, whatever its bytes are, but without its secrets."""
    dlq.kill(an_event("mail.sent", '{"name": "Zoë \\"\'\'\' \\\\", "token": "s3cr3t"}'.encode()))

    source = dlq("export", "1", "--pytest", "--app", "shop:app").stdout
    Path("test_letter.py").write_text(source, "utf-8")

    def passes() -> bool:
        words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_letter.py"]
        found = subprocess.run(words, check=False, capture_output=True)
        assert found.returncode in (0, 1), found.stdout
        return found.returncode == 0

    assert "s3cr3t" not in source
    assert not passes()
    Path("shop.py").write_text(APP.replace('payload["email"]', 'payload.get("email", "")'), "utf-8")
    assert passes()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("export", "1"), "export as what? Expected --pytest"),
        (("replay", "1"), "Missing option '--app'"),
        (("replay", "7", "--app", "shop:app"), "no dead letter has this number"),
    ],
)
def test_a_wrong_argument_is_named(dlq: Dlq, words: tuple[str, ...], expected: str) -> None:
    """The exit code is 2."""
    result = dlq(*words)

    assert result.exit_code == 2
    assert expected in result.stderr
