"""Choosing dead letters: by filter, by number, by the end of an id."""

from datetime import timedelta

import pytest

from bridge.attempt import Error
from bridge.ledger import Filter
from dead_letter import choosing
from dead_letter.choosing import NotOneLetter, choose, find, open_now
from tests.unit.dead_letter.ledger_double import NOW, LedgerDouble, a_letter

FIRST = "0195c7a0-0000-7000-8000-00000000a1f0"
SECOND = "0195c7a0-0000-7000-8000-00000000b1f0"


async def test_what_was_decided_about_is_no_longer_open() -> None:
    """Open is what nobody has redriven or discarded, oldest first."""
    ledger = LedgerDouble(a_letter(), a_letter(), a_letter(), a_letter())
    await ledger.redrive(1, a_letter().envelope, "mail", "ann@host", "")
    await ledger.discard(3, "ann@host", "")

    letters = await open_now(ledger, Filter(), NOW)

    assert [letter.number for letter in letters] == [2, 4]


async def test_the_fold_is_the_same_in_many_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger that is longer than what is folded at once loses nothing: decisions find letters of earlier batches."""
    monkeypatch.setattr(choosing, "FOLD_AT_LEAST", 2)
    ledger = LedgerDouble(*(a_letter() for _ in range(20)))
    for number in range(1, 20, 2):
        await ledger.discard(number, "ann@host", "")

    letters = await open_now(ledger, Filter(), NOW)

    assert [letter.number for letter in letters] == list(range(2, 21, 2))


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (Filter(), [1, 2, 3]),
        (Filter(event="order.*"), [1, 2]),
        (Filter(queue="push"), [2]),
        (Filter(error="TIMED out"), [3]),
        (Filter(error="keyerror"), [1, 2]),
        (Filter(older=timedelta(hours=2)), [2, 3]),
        (Filter(newer=timedelta(hours=2)), [1, 2]),
        (Filter(event="order.#", older=timedelta(hours=2)), [2]),
        (Filter(event="nothing"), []),
    ],
)
async def test_a_filter_takes_what_all_of_it_means(wanted: Filter, numbers: list[int]) -> None:
    """Event pattern, queue, a part of the error in any case, and ages; all that is given must hold."""
    ledger = LedgerDouble(
        a_letter(age=timedelta(hours=1)),
        a_letter(queue="push", age=timedelta(hours=2)),
        a_letter(name="mail.sent", error=Error("Timeout", "timed out"), age=timedelta(hours=3)),
    )

    choice = await choose(ledger, wanted, NOW)

    assert [letter.number for letter in choice.letters] == numbers


@pytest.mark.parametrize("reference", ["2", "b1f0", "…b1f0", "B1F0", SECOND, " b1f0 "])
async def test_a_letter_is_named_by_its_number_or_the_end_of_its_id(reference: str) -> None:
    """As lists print it, with the … or without, or whole."""
    ledger = LedgerDouble(a_letter(event_id=FIRST), a_letter(event_id=SECOND))

    found = await find(ledger, [reference])

    assert found[reference].letter.number == 2


async def test_a_number_goes_before_the_end_of_an_id() -> None:
    """Digits that are both mean the number."""
    ledger = LedgerDouble(a_letter(event_id=f"{FIRST}2"), a_letter(event_id=SECOND))

    assert (await find(ledger, ["2"]))["2"].letter.number == 2


async def test_digits_that_are_no_number_of_the_ledger_may_end_an_id() -> None:
    """One id in fifty ends in eight digits."""
    ledger = LedgerDouble(a_letter(event_id=f"{FIRST}77777777"))

    assert (await find(ledger, ["77777777"]))["77777777"].letter.number == 1


async def test_an_end_that_several_letters_have_names_the_candidates() -> None:
    """Nothing is guessed."""
    ledger = LedgerDouble(a_letter(event_id=FIRST), a_letter(event_id=SECOND))

    with pytest.raises(NotOneLetter, match="2 open dead letters have an id that ends so") as caught:
        await find(ledger, ["1f0"])

    assert [letter.number for letter in caught.value.candidates] == [1, 2]


async def test_of_an_event_that_died_twice_the_open_letter_is_meant() -> None:
    """Redriven once, it died again: its id means what can still be decided."""
    ledger = LedgerDouble(a_letter(event_id=FIRST))
    await ledger.redrive(1, a_letter().envelope, "mail", "ann@host", "")
    ledger.add(a_letter(event_id=FIRST))

    assert (await find(ledger, ["a1f0"]))["a1f0"].letter.number == 3


@pytest.mark.parametrize("reference", ["3", "ffff", "17000000000000000000000", "9" * 5000])
async def test_what_names_no_letter_is_an_error(reference: str) -> None:
    """A typing error is never passed over."""
    with pytest.raises(NotOneLetter, match="no dead letter has this number, or an id that ends so"):
        await find(LedgerDouble(a_letter(event_id=FIRST)), [reference])


@pytest.mark.parametrize("reference", ["", "…", "  "])
async def test_an_empty_reference_does_not_mean_every_letter(reference: str) -> None:
    """Every id ends in nothing."""
    with pytest.raises(NotOneLetter, match="expected a number, or the end of an id"):
        await find(LedgerDouble(a_letter()), [reference])


async def test_named_letters_that_are_decided_are_told_apart() -> None:
    """With who decided; a letter that is named twice counts once."""
    ledger = LedgerDouble(a_letter(event_id=FIRST), a_letter(event_id=SECOND))
    await ledger.discard(1, "ann@host", "a test")

    choice = await choose(ledger, ("1", "2", "b1f0"), NOW)

    assert [letter.number for letter in choice.letters] == [2]
    assert [history.decisions[0].actor for history in choice.decided] == ["ann@host"]
