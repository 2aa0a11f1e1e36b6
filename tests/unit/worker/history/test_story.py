"""The story of one event, as values."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridge.cancellations import Cancellation
from bridge.controls import Pause
from bridge.ledger import Discarded
from bridge.registry import Missing
from tests.unit.bridge.examples import NOW
from tests.unit.bridge.statuses import BUSY, WORKER
from tests.unit.worker.history.examples import ID, SECOND, dead, entry, redriven
from worker.history.story import Known, Running, facts_of, present_of, unknowns_of

NOTHING = Known(ID, NOW - timedelta(hours=1), [], [], [], [], NOW - timedelta(days=1))
RETRIED = entry(3 * SECOND, end="retried", due=NOW + 30 * SECOND, error_type="KeyError", error_message="'email'")

LAST = datetime.max.replace(tzinfo=UTC)
SILENT = Missing("web2", 12, "shop:app", NOW)


def known(**changes: Any) -> Known:
    """Return what is known of an event, nothing but the time in its id unless changed."""
    return replace(NOTHING, **changes)


def test_one_line_of_time() -> None:
    """Facts of all sources are in the order of time."""
    facts = facts_of(
        known(
            entries=[entry(SECOND), RETRIED],
            letters=[dead(5 * SECOND)],
            decisions=[redriven(4 * SECOND)],
        )
    )

    assert [(fact.source, fact.text.split(" ")[0]) for fact in facts] == [
        ("id", "deferred"),
        ("ledger", "dead"),
        ("ledger", "dead"),
        ("history", "retried"),
        ("history", "delivered"),
    ]
    assert facts[2].text == "dead letter 17 redriven by ada@web1: mended"
    assert facts[3].text.endswith("KeyError: 'email'")


def test_a_letter_is_before_the_end_of_its_attempt() -> None:
    """The history rounds its times to milliseconds, so that of an attempt can seem to be before that of its letter."""
    settled = NOW.replace(microsecond=5_000)
    letter = replace(dead(), time=settled + timedelta(microseconds=400))

    facts = facts_of(known(entries=[replace(entry(end="dead"), time=settled)], letters=[letter]))

    assert [fact.source for fact in facts] == ["id", "ledger", "history"]


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"entries": [entry()]}, "queue mail: delivered"),
        ({"entries": [RETRIED]}, "queue mail: retried; waits until "),
        ({"entries": [replace(RETRIED, due=NOW - SECOND)]}, "queue mail: retried; due, and its next attempt"),
        ({"entries": [entry(end="expired")]}, "queue mail: expired"),
        ({"letters": [dead()]}, "queue mail: dead; letter 17 waits for a decision"),
        ({"letters": [dead()], "decisions": [redriven()]}, "queue mail: redriven; its next attempt has not"),
        (
            {"letters": [dead(3 * SECOND)], "decisions": [redriven(2 * SECOND)], "entries": [entry()]},
            "queue mail: delivered",
        ),
        (  # the clock of the machine that redrove it is ahead
            {"letters": [dead(timedelta(hours=1))], "decisions": [redriven(-3 * SECOND)], "entries": [entry()]},
            "queue mail: delivered",
        ),
        (
            {
                "letters": [dead(3 * SECOND)],
                "decisions": [redriven(2 * SECOND)],
                "entries": [replace(RETRIED, time=NOW)],
            },
            "queue mail: retried; waits until ",
        ),
        (
            {
                "letters": [dead(3 * SECOND)],
                "decisions": [redriven(2 * SECOND)],
                "entries": [entry(end="dead", reason="rejected")],
            },
            "queue mail: redriven; its next attempt has not",
        ),
        ({"letters": [dead()], "decisions": [Discarded(18, 17, NOW, "ada", "")]}, "queue mail: dead, and discarded"),
        ({"letters": [dead(timedelta(hours=1))], "entries": [entry()]}, "queue mail: delivered"),
        ({"entries": [entry(end="dead")], "letters": [dead(2 * SECOND)]}, "queue mail: dead; letter 17 waits"),
        ({"entries": [entry()], "letters": [replace(dead(), time=LAST)]}, "queue mail: dead; letter 17 waits"),
        (
            {"running": [Running(WORKER, BUSY)]},
            "queue mail: it runs in worker web1:11, child 12, attempt 1, for 0.2 s: 3 of 10, resizing",
        ),
        ({"running": [Running(WORKER, BUSY)], "entries": [RETRIED]}, "queue mail: it runs in worker"),
    ],
)
def test_the_present_state(changes: dict[str, Any], state: str) -> None:
    """The last thing that is known in a queue decides; a running attempt before all."""
    [found] = present_of(known(**changes), NOW)

    assert found.startswith(state)


def test_each_queue_has_a_state() -> None:
    """An event in two queues may be delivered in one and dead in the other."""
    found = present_of(known(entries=[entry()], letters=[dead(queue="stats")]), NOW)

    assert found[0] == "queue mail: delivered"
    assert found[1].startswith("queue stats: dead; ")


@pytest.mark.parametrize(
    ("changes", "is_kept", "unknown"),
    [
        ({"entries": [entry()]}, True, []),
        ({"entries": [entry()], "history_since": NOW}, True, ["The history goes back to "]),
        ({"entries": [entry()], "deferred": None}, True, ["The history goes back to "]),
        ({"entries": [entry()], "silent": [SILENT]}, True, ["Worker web2:12 does not answer: whether the event runs"]),
        ({"running": [Running(WORKER, BUSY)], "silent": [SILENT]}, True, []),
        ({"entries": [entry()]}, False, ["The settings keep no history"]),
        ({"history_since": None}, True, ["The history is empty", "An event leaves no trace before its first attempt"]),
        ({}, True, ["An event leaves no trace before its first attempt"]),
    ],
)
def test_what_cannot_be_known(changes: dict[str, Any], is_kept: bool, unknown: list[str]) -> None:
    """The story says what it cannot know."""
    found = unknowns_of(known(**changes), is_kept=is_kept)

    assert len(found) == len(unknown)
    assert all(sentence.startswith(beginning) for sentence, beginning in zip(found, unknown, strict=True))


def test_a_cancellation_is_a_fact() -> None:
    """The story says who cancelled the event, and why."""
    cancelled = Cancellation(ID, False, "ada@web1", "order withdrawn", NOW)

    fact = facts_of(known(cancellations=[cancelled]))[-1]

    assert (fact.source, fact.text) == ("controls", "cancelled by ada@web1: order withdrawn")


def test_a_pause_holds_an_event() -> None:
    """A pause of the queue, or of events with this name, is a part of the present state; another one is not."""
    pause = Pause("p1", "mail", None, None, "ada@web1", "provider down", NOW)
    due = replace(RETRIED, due=NOW - SECOND)

    [held] = present_of(known(entries=[due], pauses=[pause]), NOW)
    [free] = present_of(known(entries=[due], pauses=[replace(pause, queue="stats")]), NOW)
    [ended] = present_of(known(entries=[entry()], pauses=[pause]), NOW)

    assert held.endswith("has not ended yet; paused by ada@web1: provider down")
    assert "paused" not in free + ended
