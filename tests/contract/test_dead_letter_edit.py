"""bridge-dlq edit and erase on both brokers."""

import json
import os
import pty
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bridge.attempt import Error
from bridge.ledger import Discarded, Redriven
from tests.contract.acts import an_event
from tests.contract.conftest import Site
from tests.contract.dead_letter_program import Dlq

if TYPE_CHECKING:
    from tests.contract.sqlite_site import SqliteSite


@pytest.fixture
def dlq(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dlq:
    """The program on an empty ledger, in a directory of its own."""
    monkeypatch.chdir(tmp_path)
    return Dlq.on(site, tmp_path)


@pytest.fixture
def sqlite_dlq(sqlite_site: "SqliteSite", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dlq:
    """The program on an empty ledger of SQLite, for what does not depend on the broker."""
    monkeypatch.chdir(tmp_path)
    return Dlq.on(sqlite_site, tmp_path)


def _editor(script: str) -> dict[str, str]:
    """Return the environment with an editor that runs this script of sed."""
    editor = Path("editor").absolute()
    editor.write_text(f"#!/bin/sh\nexec sed -i '{script}' \"$1\"\n")
    editor.chmod(0o700)
    return {"VISUAL": str(editor)}


def test_an_edited_event_has_a_new_id_and_a_link(dlq: Dlq) -> None:
    """It goes into the queue of the old one, as a new round. The decision about the old letter names it."""
    (dead,) = dlq.kill(an_event("mail.sent", b'{"to": "ann", "id": 1}'))
    dlq.environment |= _editor("s/ann/bob/")

    code, shown = dlq.on_terminal("edit", str(dead.number), "--reason", "typo", "--json")

    assert code == 0, shown
    (delivery,) = dlq.delivered("mail", 1)
    event = delivery.envelope.event
    assert json.loads(event.data) == {"to": "bob", "id": 1}
    assert (event.name, delivery.envelope.round, len(delivery.envelope.attempts)) == ("mail.sent", 2, 1)
    assert event.id != dead.event_id
    assert json.loads(shown) == {"letter": dead.number, "event": event.id}
    decision = dlq.entries()[-1]
    assert isinstance(decision, Redriven)
    assert decision.note == f"edited, as event {event.id}: typo"
    assert dlq.on_terminal("edit", str(dead.number))[0] == 1


@pytest.mark.parametrize("stream", ["stdin", "stdout"])
def test_without_a_terminal_no_editor_is_started(sqlite_dlq: Dlq, stream: str) -> None:
    """It would wait in a pipe, or write into it. The exit code is 2; the message has the option that is expected."""
    sqlite_dlq.die("mail.sent")
    sqlite_dlq.environment |= {"VISUAL": "touch started"}
    master, slave = pty.openpty()
    streams = {"stdin": slave, "stdout": slave, stream: subprocess.PIPE}

    process = sqlite_dlq.start("edit", "1", stderr=subprocess.PIPE, **streams)
    _, said = process.communicate()

    os.close(slave)
    os.close(master)
    assert process.returncode == 2
    assert said.decode() == (
        "Error: there is no terminal for an editor: give the data by --data-file FILE, or - for standard input\n"
    )
    assert len(sqlite_dlq.open()) == 1


def test_data_come_from_a_file_too(dlq: Dlq) -> None:
    """Of any bytes, if the old data are no JSON."""
    (dead,) = dlq.kill(an_event("mail.sent", b"\xff", "application/octet-stream"))
    Path("data").write_bytes(b"\x00\xfe")

    assert dlq("edit", str(dead.number), "--data-file", "data").exit_code == 0

    assert dlq.delivered("mail", 1)[0].envelope.event.data == b"\x00\xfe"


@pytest.mark.parametrize(
    ("script", "code", "expected"),
    [
        ("s/x/y/", 1, "The data are the same: nothing was changed"),
        ("s/}/]/", 2, "; nothing was changed. What was given is in "),
    ],
)
def test_what_cannot_be_put_back_is_kept(dlq: Dlq, script: str, code: int, expected: str) -> None:
    """The letter stays open, and the work of the user is in a file."""
    (dead,) = dlq.kill(an_event("mail.sent", b'{"id": 1}'))
    dlq.environment |= _editor(script)

    found, shown = dlq.on_terminal("edit", str(dead.number))

    assert (found, len(dlq.open())) == (code, 1)
    assert expected in shown
    for kept in Path.cwd().glob("bridge-edit-*"):
        assert (kept.read_bytes(), kept.stat().st_mode & 0o777) == (b'{\n  "id": 1\n]\n', 0o600)


@pytest.mark.parametrize("data", [b"to=ann", b"to=ann\r\nid=1\r\n", b"\xef\xbb\xbfto=ann", b'{"to": "ann \\ud800"}'])
def test_only_what_the_user_changes_is_changed(sqlite_dlq: Dlq, data: bytes) -> None:
    """Line ends, the end of the last line and the mark of the encoding stay. An editor that is quit changes nothing."""
    (dead,) = sqlite_dlq.kill(an_event("mail.sent", data))
    sqlite_dlq.environment |= {"VISUAL": "true"}
    code, shown = sqlite_dlq.on_terminal("edit", str(dead.number))
    assert (code, len(sqlite_dlq.open())) == (1, 1), shown
    assert "The data are the same: nothing was changed" in shown
    sqlite_dlq.environment |= _editor("s/ann/bob/")

    code, shown = sqlite_dlq.on_terminal("edit", str(dead.number))

    assert code == 0, shown
    new, expected = sqlite_dlq.delivered("mail", 1)[0].envelope.event.data, data.replace(b"ann", b"bob")
    assert (json.loads(new) == json.loads(expected)) if data.startswith(b"{") else (new == expected)


def test_an_erased_letter_is_nowhere_in_the_file(
    sqlite_site: "SqliteSite", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in the tables nor in the journal. Its entry stays; an open letter is discarded."""
    monkeypatch.chdir(tmp_path)
    dlq = Dlq.on(sqlite_site, tmp_path)
    error = Error("KeyError", "secret-ann is unknown", 'x = "secret-ann"')
    event = an_event("mail.sent", b'{"to": "secret-ann"}' + b" " * 20_000 + b"secret-ann")
    first, second = [dlq.kill(event, error=error)[-1] for _ in range(2)]
    assert dlq("discard", str(second.number), "--yes").exit_code == 0
    assert any(b"secret-ann" in file.read_bytes() for file in tmp_path.glob("*.db*"))

    result = dlq("erase", str(first.number), str(second.number), "--yes", "--reason", "forgotten")

    assert result.exit_code == 0, result.stderr
    assert not [file for file in tmp_path.glob("*.db*") if b"secret-ann" in file.read_bytes()]
    assert dlq.open() == []
    decision = dlq.entries()[-1]
    assert isinstance(decision, Discarded)
    assert (decision.letter, decision.note) == (first.number, "erased: forgotten")
    page = dlq("show", str(first.number)).stdout
    assert "mail.sent" in page
    assert "KeyError: [erased]" in page
    for words in (("replay", "--app", "shop:app"), ("export", "--pytest")):
        at_home = dlq(*words, str(first.number))
        assert (at_home.exit_code, at_home.stdout) == (1, "")
        assert at_home.stderr == f"Error: letter {first.number} cannot be run: its data were erased\n"


@pytest.mark.rabbitmq
def test_rabbitmq_cannot_erase(rabbit_site: Site, tmp_path: Path) -> None:
    """The message says what removes letters there. Nothing is decided."""
    dlq = Dlq.on(rabbit_site, tmp_path)
    (dead,) = dlq.die("mail.sent")

    result = dlq("erase", str(dead.number), "--yes", "--reason", "forgotten")

    assert (result.exit_code, len(dlq.open())) == (3, 1)
    assert "RabbitMQ keeps the ledger in a stream" in result.stderr


def test_a_redrive_waits_for_a_release(dlq: Dlq) -> None:
    """Without a worker of that release nothing is put back; a signal ends the program."""
    dlq.die("mail.sent")

    process = dlq.start("redrive", "--all", "--yes", "--when-released", "v43", stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.readline()
    process.terminate()
    process.wait()

    assert said == b"Waiting for release v43: no worker of the site answers with a release.\n"
    assert (process.returncode, len(dlq.open())) == (143, 1)
    process.stderr.close()
