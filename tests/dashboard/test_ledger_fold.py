"""The fold of the ledger: open letters by group, what became of redrives, and the letters of an event."""

from datetime import UTC, datetime, timedelta

import pytest

from bridge.ledger import Dead, Discarded, Redriven
from deferred_event_bridge.dashboard import ledger_fold
from deferred_event_bridge.dashboard.ledger_fold import LedgerFold
from worker.history.finding import Wanted

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


def dead(number: int, event: str = "e1", error: str = "KeyError") -> Dead:
    """Return a letter that died at noon and so many seconds."""
    return Dead(number, NOON + timedelta(seconds=number), "mail", "rejected", event, "mail.sent", error, "'x'", 1)


def redriven(number: int, letter: int, note: str = "fixed") -> Redriven:
    """Return the redrive of a letter."""
    return Redriven(number, letter, NOON + timedelta(seconds=number), "ann", note)


def test_decided_letters_are_not_open() -> None:
    """A redrive and a discard close their letter; a second decision changes nothing."""
    fold = LedgerFold()
    fold.add([dead(1), dead(2, "e2"), dead(3, "e3"), redriven(4, 1), Discarded(5, 2, NOON, "ann"), redriven(6, 1)])

    assert [letter.number for letter in fold.letters()] == [3]
    assert (fold.total(), fold.last, fold.letter(1)) == (1, 6, None)


def test_letters_are_selected_by_group_and_up_to_a_number() -> None:
    """As a question has frozen them."""
    fold = LedgerFold()
    fold.add([dead(1), dead(2, error="OSError"), dead(3), dead(4)])

    group = dead(1).fingerprint.id

    assert [letter.number for letter in fold.letters(group, through=3)] == [1, 3]


def test_events_that_died_again_are_counted_with_their_redrive() -> None:
    """Each event once, and only if it died after its redrive; redrives with another note or much later are others."""
    fold = LedgerFold()
    fold.add([dead(1), dead(2, "e2"), dead(3, "e3"), redriven(4, 1), redriven(5, 2), redriven(6, 3, "other")])
    fold.add([dead(7), dead(8, "e9"), redriven(10_000, 7), dead(10_001)])

    assert [(each.note, each.count, each.again) for each in fold.redrives()] == [
        ("fixed", 1, 1),
        ("other", 1, 0),
        ("fixed", 2, 1),
    ]


def test_the_part_of_an_event_has_its_decided_letters_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its id, the end of it, or the ids that a key has; the oldest decided letters are forgotten."""
    monkeypatch.setattr(ledger_fold, "CLOSED_KEPT", 2)
    fold = LedgerFold()
    fold.add([dead(1, "abcd-1"), dead(2, "abcd-2"), redriven(3, 1), dead(4, "abcd-1")])

    part = fold.part(Wanted(ending="abcd-1"), ())
    assert (list(part.letters), [each.number for each in part.decisions]) == ([1, 4], [3])
    assert list(fold.part(Wanted(ending="-2"), ()).letters) == [2]
    assert list(fold.part(Wanted(key="k"), {"abcd-2", "unknown"}).letters) == [2]

    fold.add([redriven(5, 2), redriven(6, 4)])
    assert fold.forgets
    assert list(fold.part(Wanted(ending="abcd-1"), ()).letters) == [4]


def test_a_letter_is_known_with_its_decisions() -> None:
    """Open or decided; a letter that was never there is not."""
    fold = LedgerFold()
    fold.add([dead(1), dead(2, "e2"), redriven(3, 1)])

    decided, still_open = fold.history(1), fold.history(2)

    assert decided is not None and still_open is not None
    assert (decided.letter.number, [each.number for each in decided.decisions]) == (1, [3])
    assert still_open.open
    assert fold.history(3) is None


def test_the_message_of_an_erased_letter_is_forgotten() -> None:
    """Of one that was open, by the note of its decision; of one that was decided before, when it is said."""
    fold = LedgerFold()
    fold.add(
        [dead(1), dead(2), Discarded(3, 1, NOON, "ann", "erased: Ann's wish"), Discarded(4, 2, NOON, "ann", "old")]
    )
    fold.forget_message(2)
    fold.forget_message(9)

    letters = fold.part(Wanted("e1", None), ["e1"]).letters
    assert {number: letter.error_message for number, letter in letters.items()} == {1: "[erased]", 2: "[erased]"}
