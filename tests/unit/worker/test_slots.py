"""The books of the slots."""

import pytest

from bridge.outcome import Exchange, NotTaken
from worker.slots import Slots


class Place:
    """A slot that does nothing."""

    def __init__(self) -> None:
        self.usable = True

    async def exchange(self, parameters: dict[str, str], body: bytes, deadline: float) -> Exchange:
        return NotTaken("a double")


def test_a_slot_is_leased_once_at_a_time() -> None:
    """Room for one event in flight."""
    slots, place = Slots(), Place()
    slots.open(place)
    assert slots.lease() is place
    assert slots.lease() is None
    assert repr(slots) == "<Slots 0 free, 1 leased>"


def test_a_slot_that_came_back_can_be_leased_again() -> None:
    """The warmest, which is the last one back, first."""
    slots, first, second = Slots(), Place(), Place()
    slots.open(first)
    slots.open(second)
    slots.lease()
    slots.lease()
    slots.give_back(second)
    slots.give_back(first)
    assert slots.lease() is first


def test_what_failed_is_condemned_and_not_returned() -> None:
    """A slot that is not usable leaves the books when it comes back."""
    slots, place = Slots(), Place()
    slots.open(place)
    slots.lease()
    place.usable = False
    slots.give_back(place)
    assert repr(slots) == "<Slots 0 free, 0 leased>"


def test_a_leased_slot_that_is_condemned_does_not_come_back() -> None:
    """Its child was lost while it ran."""
    slots, place = Slots(), Place()
    slots.open(place)
    slots.lease()
    slots.condemn(place)
    slots.give_back(place)
    assert slots.lease() is None


def test_a_free_slot_that_is_condemned_is_not_leased() -> None:
    """Its child was lost while it was idle; to say so twice is no harm."""
    slots, place = Slots(), Place()
    slots.open(place)
    slots.condemn(place)
    slots.condemn(place)
    assert slots.lease() is None


def test_a_free_slot_that_broke_meanwhile_is_not_leased() -> None:
    """The end of its connection is seen before the end of its process."""
    slots, broken, well = Slots(), Place(), Place()
    slots.open(well)
    slots.open(broken)
    broken.usable = False
    assert slots.lease() is well
    assert slots.lease() is None


def test_a_slot_is_in_the_books_once() -> None:
    """Twice would be two events in one child."""
    slots, place = Slots(), Place()
    slots.open(place)
    with pytest.raises(ValueError, match="in the books"):
        slots.open(place)


def test_in_turn_the_slot_that_was_used_longest_ago_is_leased() -> None:
    """So that each of several servers has its share."""
    slots = Slots(in_turn=True)
    first, second = Place(), Place()
    slots.open(first)
    slots.open(second)
    leased = []
    for _ in range(4):
        slot = slots.lease()
        assert slot is not None
        leased.append(slot)
        slots.give_back(slot)
    assert leased == [first, second, first, second]
