"""The selection of dead letters: by filter, by number, by the end of an id."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bridge.attempt import Error
from bridge.ledger import Filter
from dead_letter.choosing import LetterReader, NotOneLetter, find
from tests.unit.dead_letter.ledger_double import NOW, LedgerDouble, a_letter

FIRST = "0195c7a0-0000-7000-8000-00000000a1f0"
SECOND = "0195c7a0-0000-7000-8000-00000000b1f0"


async def test_a_decided_letter_is_no_longer_open() -> None:
    """Open letters are neither redriven nor discarded; the oldest comes first."""
    ledger = LedgerDouble(a_letter(), a_letter(), a_letter(), a_letter())
    await ledger.redrive(1, a_letter().envelope, "mail", "ann@host", "")
    await ledger.discard(3, "ann@host", "")

    letters = (await LetterReader(Filter(), NOW).read_new(ledger)).letters

    assert [letter.number for letter in letters] == [2, 4]


async def test_a_second_reading_has_the_decisions_of_other_programs() -> None:
    """The second reading begins where the first one ended: no entry is read twice, and no decision is missed."""
    ledger = LedgerDouble(a_letter(), a_letter())
    reader = LetterReader(Filter(), NOW)
    before = await reader.read_new(ledger)
    await ledger.discard(1, "bob@host", "")
    ledger.bury(a_letter())

    after = await reader.read_new(ledger)

    assert [letter.number for letter in before.letters] == [1, 2]
    assert [letter.number for letter in after.letters] == [2, 4]
    assert ledger.yielded == len(ledger.all) == 4


async def test_a_second_reading_has_decisions_about_a_named_letter() -> None:
    """The history of a letter that was named by number grows too."""
    ledger = LedgerDouble(a_letter(), a_letter())
    reader = LetterReader(("1", "2"), NOW)
    await reader.read_new(ledger)
    await ledger.discard(1, "bob@host", "")

    choice = await reader.read_new(ledger)

    assert [letter.number for letter in choice.letters] == [2]
    assert [history.decisions[0].actor for history in choice.decided] == ["bob@host"]
    assert ledger.yielded == len(ledger.all) == 3


async def test_ages_count_from_the_first_reading() -> None:
    """The selection does not change with the time that a user takes to answer."""
    ledger = LedgerDouble(a_letter(age=timedelta(minutes=10)))
    reader = LetterReader(Filter(newer=timedelta(minutes=10)), NOW)

    assert (await reader.read_new(ledger)).letters == (await reader.read_new(ledger)).letters != []


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
async def test_a_letter_matches_all_parts_of_a_filter(wanted: Filter, numbers: list[int]) -> None:
    """The parts are event pattern, queue, a part of the error in any case, and ages."""
    ledger = LedgerDouble(
        a_letter(age=timedelta(hours=1)),
        a_letter(queue="push", age=timedelta(hours=2)),
        a_letter(name="mail.sent", error=Error("Timeout", "timed out"), age=timedelta(hours=3)),
    )

    choice = await LetterReader(wanted, NOW).read_new(ledger)

    assert [letter.number for letter in choice.letters] == numbers


@pytest.mark.parametrize("reference", ["2", "b1f0", "…b1f0", "B1F0", SECOND, " b1f0 "])
async def test_a_letter_is_named_by_its_number_or_the_end_of_its_id(reference: str) -> None:
    """The end may have the … of the lists, and the id may be complete."""
    ledger = LedgerDouble(a_letter(event_id=FIRST), a_letter(event_id=SECOND))

    found = await find(ledger, [reference])

    assert found[reference].letter.number == 2


async def test_a_number_goes_before_the_end_of_an_id() -> None:
    """Digits that are both a number and an id's end name the number."""
    ledger = LedgerDouble(a_letter(event_id=f"{FIRST}2"), a_letter(event_id=SECOND))

    assert (await find(ledger, ["2"]))["2"].letter.number == 2


async def test_digits_that_are_no_number_of_the_ledger_may_end_an_id() -> None:
    """One id in fifty ends in eight digits."""
    ledger = LedgerDouble(a_letter(event_id=f"{FIRST}77777777"))

    assert (await find(ledger, ["77777777"]))["77777777"].letter.number == 1


async def test_an_end_that_several_letters_have_names_the_candidates() -> None:
    """The program does not guess."""
    ledger = LedgerDouble(a_letter(event_id=FIRST), a_letter(event_id=SECOND))

    with pytest.raises(NotOneLetter, match="2 open dead letters have an id with this end") as caught:
        await find(ledger, ["1f0"])

    assert [letter.number for letter in caught.value.candidates] == [1, 2]


async def test_of_an_event_that_died_twice_the_open_letter_is_selected() -> None:
    """The event was redriven and died again: its id names the letter that can be decided."""
    ledger = LedgerDouble(a_letter(event_id=FIRST))
    await ledger.redrive(1, a_letter().envelope, "mail", "ann@host", "")
    ledger.bury(a_letter(event_id=FIRST))

    assert (await find(ledger, ["a1f0"]))["a1f0"].letter.number == 3


@pytest.mark.parametrize("reference", ["3", "ffff", "17000000000000000000000", "9" * 5000])
async def test_a_reference_without_a_letter_is_an_error(reference: str) -> None:
    """A typing error is never ignored."""
    with pytest.raises(NotOneLetter, match="no dead letter has this number, or an id with this end"):
        await find(LedgerDouble(a_letter(event_id=FIRST)), [reference])


@pytest.mark.parametrize("reference", ["", "…", "  "])
async def test_an_empty_reference_does_not_name_every_letter(reference: str) -> None:
    """Every id ends in the empty string."""
    with pytest.raises(NotOneLetter, match="expected a number, or the end of an id"):
        await find(LedgerDouble(a_letter()), [reference])


async def test_named_letters_that_are_decided_are_returned_separately() -> None:
    """They have their decisions. A letter that is named twice is returned once."""
    ledger = LedgerDouble(a_letter(event_id=FIRST), a_letter(event_id=SECOND))
    await ledger.discard(1, "ann@host", "a test")

    choice = await LetterReader(("1", "2", "b1f0"), NOW).read_new(ledger)

    assert [letter.number for letter in choice.letters] == [2]
    assert [history.decisions[0].actor for history in choice.decided] == ["ann@host"]


async def test_a_redrive_by_a_filter_leaves_cancelled_events_out() -> None:
    """A person has ended them. Their number redrives them, and a discard by a filter selects them."""
    ledger = LedgerDouble(replace(a_letter(event_id=FIRST), reason="cancelled"), a_letter(event_id=SECOND))

    by_filter = await LetterReader(Filter(), NOW, for_redrive=True).read_new(ledger)
    by_number = await LetterReader(("1",), NOW, for_redrive=True).read_new(ledger)
    to_discard = await LetterReader(Filter(), NOW).read_new(ledger)

    assert ([letter.number for letter in by_filter.letters], [each.number for each in by_filter.skipped]) == ([2], [1])
    assert [letter.number for letter in by_number.letters] == [1]
    assert [letter.number for letter in to_discard.letters] == [1, 2]
