"""bridge-dlq on both brokers: the output for people. These commands change no letter."""

import json
import subprocess
from pathlib import Path

import pytest

from bridge.attempt import Error
from tests.contract.acts import an_event
from tests.contract.conftest import Site
from tests.contract.dead_letter_program import Dlq
from tests.limits import PATIENCE

EVERY_BYTE = bytes(range(256))


@pytest.fixture
def dlq(site: Site, tmp_path: Path) -> Dlq:
    """The program on an empty ledger."""
    return Dlq.on(site, tmp_path)


def test_an_empty_ledger_is_good_news(dlq: Dlq) -> None:
    """An empty ledger prints a sentence that names the ledger, with exit code 0."""
    result = dlq()

    assert result.exit_code == 0
    assert result.stdout.startswith("No open dead letters in ")
    assert dlq.site.namespace in result.stdout


def test_where_nothing_was_declared_the_ledger_is_empty(dlq: Dlq) -> None:
    """A site that was never used has an empty ledger; the sentence names the namespace, which may be a typing error."""
    dlq.site.namespace += "x"

    listed, redriven, shown = dlq("list"), dlq("redrive", "--all", "--yes"), dlq("show", "1")

    assert (listed.exit_code, redriven.exit_code, shown.exit_code) == (0, 0, 2)
    assert f"namespace {dlq.site.namespace}" in listed.stdout


def test_the_list_counts_by_event_queue_and_error(dlq: Dlq) -> None:
    """The list counts letters by event, queue and error; its last lines have the total and the next commands."""
    dlq.die("mail.sent", "order.paid", "mail.sent")

    for result in (dlq(), dlq("list")):
        assert result.exit_code == 0
        rows = [line.split() for line in result.stdout.splitlines()]
        assert [row[:3] for row in rows[1:3]] == [["2", "mail.sent", "mail"], ["1", "order.paid", "default"]]
        assert "\n3 open dead letters, " in result.stdout
        assert "list --ids" in result.stdout


def test_rows_come_newest_first_and_say_how_many_more(dlq: Dlq) -> None:
    """Rows have numbers and the ends of ids, newest first; escape sequences are made visible."""
    letters = dlq.die("order.one", "order.two", "order.three")

    result = dlq("list", "--ids", "--limit", "2")

    rows = [line.split() for line in result.stdout.splitlines()]
    assert [row[:4] for row in rows[1:3]] == [
        [str(letter.number), f"…{letter.event_id[-12:]}", letter.event_name, "default"] for letter in letters[:0:-1]
    ]
    assert "The newest 2 of 3 open dead letters" in result.stdout
    assert "timed out \\x1b[31m" in result.stdout


def test_filters_choose(dlq: Dlq) -> None:
    """Letters are chosen by event pattern, queue, error and age."""
    dlq.die("order.one", "order.two", "mail.sent")

    def counted(*words: str) -> int:
        lines = dlq("list", "--ids", "--json", *words).stdout.splitlines()
        return len([json.loads(line)["number"] for line in lines])

    assert counted() == 3
    assert counted("--event", "order.*") == 2
    assert counted("--queue", "mail") == 1
    assert counted("--error", "TIMED OUT") == 3
    assert counted("--error", "KeyError") == 0
    assert counted("--older", "1h") == 0
    assert counted("--newer", "1h", "--event", "mail.#") == 1


def test_groups_as_json(dlq: Dlq) -> None:
    """Groups are printed as one JSON line each."""
    dlq.die("order.one", "order.one")

    (group,) = map(json.loads, dlq("list", "--json").stdout.splitlines())

    assert (group["count"], group["event"], group["queue"], group["error"]) == (2, "order.one", "default", "Timeout")


def test_a_letter_is_shown_whole(dlq: Dlq) -> None:
    """`show` finds a letter by its number, and by the end of its id."""
    (letter,) = dlq.die("order.paid")

    by_number, by_end = dlq("show", str(letter.number)), dlq("show", letter.event_id[-8:])

    assert by_number.exit_code == by_end.exit_code == 0
    for part in (letter.event_id, "order.paid", "default", "attempts used up", "v42", "Traceback …", "timed out"):
        assert part in by_number.stdout
    for part in ("PATH_INFO", "x-served-by", "<h1>Oops</h1>", "a warning", '"id": 17', "redrive"):
        assert part in by_number.stdout
    assert "\x1b" not in by_number.stdout
    assert by_end.stdout.splitlines()[0] == by_number.stdout.splitlines()[0]


def test_a_letter_as_json(dlq: Dlq) -> None:
    """A letter is printed as one JSON document."""
    (letter,) = dlq.die("order.paid")

    document = json.loads(dlq("show", str(letter.number), "--json").stdout)

    assert document["event"]["id"] == letter.event_id
    assert document["event"]["data"] == {"id": 17}
    assert document["error"]["message"] == "timed out \x1b[31m"


def test_a_body_is_written_byte_for_byte(dlq: Dlq) -> None:
    """A body with every byte value is written unchanged, and nothing else is printed."""
    (letter,) = dlq.kill(an_event(data=EVERY_BYTE))

    assert dlq("show", str(letter.number), "--body").stdout_bytes == EVERY_BYTE


def test_an_end_of_several_ids_lists_them(dlq: Dlq) -> None:
    """The end of several ids exits with code 2 and lists the candidates."""
    letters = dlq.kill(
        *(an_event()._replace(id=f"0195c7a0-0000-7000-8000-{group:012x}") for group in (0xA1F0, 0xB1F0, 0xC1F1))
    )

    for words in (("show", "1f0"), ("redrive", "1f0", "--yes")):
        result = dlq(*words)
        assert result.exit_code == 2
        rows = [line.split()[:2] for line in result.stderr.splitlines()]
        assert rows[1:3] == [[str(letters[0].number), "…00000000a1f0"], [str(letters[1].number), "…00000000b1f0"]]
        assert "1f0: 2 open dead letters have an id with this end" in result.stderr
    assert dlq.open() == letters


def test_a_letter_that_is_not_there(dlq: Dlq) -> None:
    """If one of several numbers does not exist, no letter is decided about."""
    (letter,) = dlq.die("order.paid")

    for words in (("show", "4711"), ("redrive", str(letter.number), "4711", "--yes")):
        result = dlq(*words)
        assert result.exit_code == 2
        assert "4711: no dead letter has this number, or an id with this end" in result.stderr
    assert [open_letter.number for open_letter in dlq.open()] == [letter.number]


def test_a_broken_pipe_is_quiet(dlq: Dlq) -> None:
    """`| head` ends the list without a message."""
    dlq.kill(an_event(), error=Error("Timeout", "x" * 400))
    process = dlq.start("list", "--ids", "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()

    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait(PATIENCE) in (0, 1)


def test_secrets_are_hidden(dlq: Dlq) -> None:
    """In the page, the document and the payload; --unredacted shows them."""
    data = b'{"token": "s3cr3t-17", "id":  1}'
    (letter,) = dlq.kill(an_event("mail.sent", data), error=Error("ValueError", "s3cr3t-17 is refused"))

    for words in ((), ("--json",), ("--body",)):
        hidden, shown = (dlq("show", str(letter.number), *words, *more).stdout for more in ((), ("--unredacted",)))
        assert "s3cr3t-17" not in hidden
        assert "[redacted]" in hidden
        assert "s3cr3t-17" in shown
