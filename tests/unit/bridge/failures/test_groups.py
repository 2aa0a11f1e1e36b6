"""Groups of failures, and what their members have in common."""

from dataclasses import replace
from datetime import timedelta

from bridge.event import Event
from bridge.failures.groups import failure_groups
from bridge.failures.in_common import Sample, in_common, sample_of
from bridge.failures.retrying import Retrying
from tests.unit.bridge.failures.examples import NOW, attempt, dead


def test_dead_and_retrying_are_grouped_together() -> None:
    """One group has the letters and the events that fail for the same cause; the largest group comes first."""
    letters = [dead(9, "no route"), dead(5), dead(4, "no customer 4")]

    first, second = failure_groups(letters, [attempt(1, "no customer 99")])

    assert (len(first.dead), len(first.retrying), first.count) == (2, 1, 3)
    assert first.fingerprint.title == "KeyError: no customer #, in shop/mails.py welcome"
    assert first.first_and_last == (NOW - timedelta(minutes=5), NOW - timedelta(minutes=1))
    assert first.next_attempt == NOW + timedelta(minutes=1)
    assert first.releases == {"v42": 2, "v43": 1}
    assert (second.count, second.next_attempt) == (1, None)


def test_an_event_is_retrying_if_its_last_attempt_is_retried() -> None:
    """An event that was delivered or died since then is not."""
    retrying = Retrying()
    for entry in (
        attempt(1, end="delivered", age=1),
        attempt(1, age=2),
        attempt(2, age=3),
        attempt(3, end="dead", age=4),
        attempt(2, "no customer 3", age=5),
        attempt(3, age=6),
        attempt(4, end="snoozed", age=7),
    ):
        retrying.add(entry)

    assert retrying.events() == [attempt(2, age=3)]


def test_an_event_that_has_just_died_is_counted_once() -> None:
    """The ledger has it before the history has its last attempt. A copy that was attempted later counts too."""
    letter = replace(dead(5), event_id=attempt(1).id)  # five minutes ago

    (died,) = failure_groups([letter], [attempt(1, age=6)])
    (copied,) = failure_groups([letter], [attempt(1, age=4)])

    assert (len(died.dead), len(died.retrying)) == (1, 0)
    assert (len(copied.dead), len(copied.retrying)) == (1, 1)


def test_the_line_names_what_all_members_have() -> None:
    """A value of all members stands alone, one of nearly all has its count, and others are counted."""
    group = failure_groups([*map(dead, range(1, 20)), dead(20, queue="slow"), dead(21, release=None)], [])[0]
    sample = Sample(3, {"shop": 3}, {"id": 3, "email": 3, "coupon": 1})

    assert in_common(group, sample) == (
        "release v42 in 20 of 21 · queue mail in 20 of 21 · event mail.sent · source shop"
        " · payload has id, email; coupon in 1 of 3"
    )


def test_a_sample_takes_any_payload() -> None:
    """Payloads that are no JSON object have no keys, and do not hide the others."""
    payloads = [b'{"id": 1, "\xc3\xa9": 2}', b"[1]", b"\xff\xfe", b"", b"[" * 100_000, b'{"id": 2}']
    events = [Event("e", "mail.sent", "shop", NOW, "application/json", data) for data in payloads]

    sample = sample_of(events)

    assert (sample.size, dict(sample.sources), dict(sample.keys)) == (6, {"shop": 6}, {"id": 2, "é": 1})
