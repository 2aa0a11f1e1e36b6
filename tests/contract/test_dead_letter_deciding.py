"""bridge-dlq on both brokers: redrive and discard, complete or interrupted."""

import asyncio
import json
import os
import pty
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bridge.brokers.contract.broker import Broker
from bridge.ledger import Discarded, Redriven
from tests.contract.acts import consuming, entries_of, eventually
from tests.contract.conftest import Site
from tests.contract.dead_letter_program import Dlq, shown_until
from tests.limits import PATIENCE


@pytest.fixture
def dlq(site: Site, tmp_path: Path) -> Dlq:
    """The program on an empty ledger."""
    return Dlq.on(site, tmp_path)


def test_a_redriven_event_is_delivered_again_in_its_own_queue(dlq: Dlq) -> None:
    """A redriven event keeps its id and history and begins a new round; the ledger has the actor and the note."""
    (letter,) = dlq.die("mail.sent")

    result = dlq("redrive", str(letter.number), "--yes", "--reason", "fixed in v43")

    assert result.exit_code == 0
    assert "Redriven: 1 dead letter" in result.stdout
    (delivery,) = dlq.delivered("mail", 1)
    assert delivery.envelope.event.id == letter.event_id
    assert (delivery.envelope.round, delivery.envelope.spent, len(delivery.envelope.attempts)) == (2, 0, 1)
    decision = dlq.entries()[-1]
    assert isinstance(decision, Redriven)
    assert decision.actor.startswith("ann@")
    assert decision.note == "fixed in v43"


def test_what_a_filter_does_not_mean_stays(dlq: Dlq) -> None:
    """Redrive and discard choose letters by the same filters."""
    dlq.die("order.one", "mail.sent", "order.two")

    assert dlq("discard", "--event", "order.*", "--yes", "--reason", "a test").exit_code == 0

    assert [letter.event_name for letter in dlq.open()] == ["mail.sent"]
    assert [type(entry) for entry in dlq.entries()[-2:]] == [Discarded, Discarded]


def test_a_limit_takes_the_oldest(dlq: Dlq) -> None:
    """A limit takes the oldest letters, and the output says how many remain."""
    letters = dlq.die("order.one", "order.two", "order.three")

    result = dlq("redrive", "--all", "--limit", "2", "--yes")

    assert "Redriven: 2 dead letters" in result.stdout
    assert "Still to redrive: 1." in result.stdout
    assert dlq.open() == letters[2:]


def test_a_dry_run_changes_nothing(dlq: Dlq) -> None:
    """A dry run and every reading leave the ledger unchanged, entry for entry."""
    (letter,) = dlq.die("order.paid")
    before = dlq.entries()

    result = dlq("redrive", "--all", "--dry-run")
    for words in (("list",), ("list", "--ids"), ("show", str(letter.number)), ("discard", "--all", "--dry-run")):
        assert dlq(*words).exit_code == 0

    assert "Would redrive 1 dead letter. Dry run: nothing was changed." in result.stdout
    assert dlq.entries() == before


def test_nothing_is_decided_unasked(dlq: Dlq) -> None:
    """Without a terminal, --yes is required; and without numbers or filters, --all."""
    dlq.die("order.paid")

    unasked, unmeant = dlq("redrive", "--all"), dlq("discard", "--yes")

    assert unasked.exit_code == unmeant.exit_code == 2
    assert "--yes" in unasked.stderr
    assert "--all" in unmeant.stderr
    assert len(dlq.open()) == 1


def test_a_decided_letter_says_who_decided(dlq: Dlq) -> None:
    """A letter that was decided about before is reported with its actor, the others are decided about, and the exit
    code says that not all was done."""
    first, second = dlq.die("order.one", "order.two")
    dlq("discard", str(first.number), "--yes")

    result = dlq("redrive", str(first.number), str(second.number), "--yes")

    assert result.exit_code == 1
    assert f"{first.number} was discarded by ann@" in result.stderr
    assert "Redriven: 1 dead letter" in result.stdout
    assert dlq.open() == []
    assert "discarded by ann@" in dlq("show", str(first.number)).stdout


def test_a_letter_that_cannot_be_read_stays_open(dlq: Dlq) -> None:
    """A letter that cannot be read is reported and stays open; the others are redriven."""
    dlq.die("order.paid")

    async def strange(broker: Broker) -> None:
        await dlq.site.put_raw("default", "order.paid", '{"v":99}', b"x")
        consumer = await consuming(broker, "default")
        await eventually(lambda: entries_of(broker), lambda entries: len(entries) == 2)
        await consumer.close()

    dlq.with_broker(strange)
    result = dlq("redrive", "--all", "--yes")

    assert result.exit_code == 1
    assert "Redriven: 1 dead letter" in result.stdout
    assert "version 99" in result.stdout
    assert [letter.reason for letter in dlq.open()] == ["unreadable"]


def test_a_letter_whose_queue_is_gone_stays_open(dlq: Dlq) -> None:
    """A letter whose queue does not exist is reported and stays open; the others are redriven."""
    dlq.die("mail.sent", "order.paid")
    asyncio.run(dlq.site.drop_queue("mail"))

    result = dlq("redrive", "--all", "--yes")

    assert result.exit_code == 1
    assert "Skipped and still open: 1 dead letter." in result.stdout
    assert [letter.queue for letter in dlq.open()] == ["mail"]


def test_results_as_json(dlq: Dlq) -> None:
    """Results are printed as one JSON line for each letter, apart from the summary."""
    (letter,) = dlq.die("order.paid")

    result = dlq("redrive", "--all", "--yes", "--json")

    (line,) = map(json.loads, result.stdout.splitlines())
    assert (line["number"], line["id"], line["result"]) == (letter.number, letter.event_id, "redriven")
    assert "Redriven: 1 dead letter" in result.stderr


def _lines(process: "subprocess.Popen[bytes]", count: int) -> list[Any]:
    assert process.stdout is not None
    return [json.loads(process.stdout.readline()) for _ in range(count)]


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_leaves_nothing_half_decided(dlq: Dlq, number: signal.Signals, exit_code: int) -> None:
    """After Ctrl-C, the letters that were reported are redriven once and the others are open; the same command
    continues with them."""
    dlq.die(*["order.paid"] * 12)
    words = ("redrive", "--all", "--yes", "--json")
    process = dlq.start(*words, "--rate", "1/s", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    told = _lines(process, 3)

    process.send_signal(number)
    rest, said = process.communicate(timeout=PATIENCE)

    told += map(json.loads, rest.splitlines())
    assert process.returncode == exit_code
    assert f"Still to redrive: {12 - len(told)}. The same command continues with them." in said.decode()
    assert len(dlq.open()) == 12 - len(told) > 0
    assert dlq(*words).exit_code == 0
    ids = [delivery.envelope.event.id for delivery in dlq.delivered("default", 12)]
    assert len(set(ids)) == 12


def test_one_decides_at_a_time(dlq: Dlq) -> None:
    """A second decider is refused with exit code 3; reading is possible."""
    dlq.die(*["order.paid"] * 3)
    process = dlq.start("redrive", "--all", "--yes", "--json", "--rate", "1/h", stdout=subprocess.PIPE)
    _lines(process, 1)

    second, reader = dlq("redrive", "--all", "--yes"), dlq("list")

    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    assert second.exit_code == 3
    assert "another bridge-dlq is deciding" in second.stderr
    assert "2 open dead letters" in reader.stdout
    assert len(dlq.open()) == 2


def test_two_deciders_at_once_redrive_each_letter_once(dlq: Dlq) -> None:
    """The second of two deciders reads the ledger again, and finds fewer open letters."""
    dlq.die(*["order.paid"] * 10)

    processes = [dlq.start("redrive", "--all", "--yes", stderr=subprocess.DEVNULL) for _ in range(3)]
    codes = {process.wait(PATIENCE) for process in processes}

    assert codes <= {0, 3}
    assert dlq("redrive", "--all", "--yes").exit_code == 0
    redriven = [entry.letter for entry in dlq.entries() if isinstance(entry, Redriven)]
    assert len(redriven) == len(set(redriven)) == 10
    assert len({delivery.envelope.event.id for delivery in dlq.delivered("default", 10)}) == 10


@pytest.mark.parametrize(("answer", "still_open"), [("n", 7), ("y", 0)])
def test_on_a_terminal_it_asks_with_count_and_sample(dlq: Dlq, answer: str, still_open: int) -> None:
    """On a terminal, the program asks with a count and a sample, and obeys the answer. It shows a progress bar, and no
    escape sequence of an error's text."""
    dlq.die(*["order.paid"] * 7)
    master, slave = pty.openpty()
    process = dlq.start("redrive", "--all", stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)

    asked = shown_until(master, "Redrive 7 dead letters? [y/N]")
    os.write(master, f"{answer}\n".encode())
    said = shown_until(master, None)

    os.close(master)
    assert process.wait(PATIENCE) == (1 if answer == "n" else 0)
    assert "The oldest of them:" in asked
    assert "\x1b[31m" not in asked
    assert ("Redriven: 7 dead letters" if answer == "y" else "Nothing was changed.") in said
    assert len(dlq.open()) == still_open


def test_what_dies_while_it_asks_is_not_meant(dlq: Dlq) -> None:
    """The answer applies to the counted letters only, not to newer ones; a letter that another process decided about
    meanwhile is left alone."""
    counted = dlq.die("order.one", "order.two")
    master, slave = pty.openpty()
    process = dlq.start("redrive", "--all", stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    shown_until(master, "Redrive 2 dead letters? [y/N]")
    dlq.die("order.three")
    dlq("discard", str(counted[0].number), "--yes")

    os.write(master, b"y\n")
    said = shown_until(master, None)

    os.close(master)
    assert process.wait(PATIENCE) == 0
    assert "Redriven: 1 dead letter," in said
    assert [letter.event_name for letter in dlq.open()] == ["order.three"]
