"""Dead letters that came without a time: no age is made up for them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from pamqp.commands import Basic
from pamqp.common import FieldValue

from bridge.brokers.any_broker.ledger_findings import dead_letters
from bridge.brokers.rabbitmq.logs.ledger_records import letter
from bridge.brokers.rabbitmq.logs.stream import StreamMessage
from bridge.brokers.rabbitmq.topology.messages import ENVELOPE
from bridge.console.terminal import terminal
from bridge.envelope import Envelope, encode_head
from bridge.event import UNKNOWN_TIME
from bridge.ledger import Dead, Filter, Letter, grouped, span, summary
from dead_letter.choosing import History
from dead_letter.cli import _total
from dead_letter.letter_page import letter_to_document, print_letter
from dead_letter.rendering import ago, group_to_json, letter_to_json, print_groups, print_letters
from tests.unit.dead_letter.ledger_double import NOW, a_letter

FOREIGN = StreamMessage(17, "mail", Basic.Properties(), b"data")


def timeless(number: int = 1) -> Dead:
    """Return the summary of a letter without a time."""
    return summary(number, replace(a_letter(), time=UNKNOWN_TIME))


def recent(number: int = 2) -> Dead:
    """Return the summary of a letter that died two hours ago."""
    return summary(number, a_letter())


def test_a_foreign_message_without_a_time_has_none() -> None:
    """Neither its letter nor its event has a time."""
    found = letter(FOREIGN)

    assert (found.time, found.envelope.event.time) == (UNKNOWN_TIME, UNKNOWN_TIME)


def test_a_message_with_an_envelope_died_after_its_last_attempt() -> None:
    """The time of a letter without one is the last that its envelope knows."""
    made: Letter = a_letter()
    deferred = Envelope(made.envelope.event, made.envelope.event.time)

    def died(envelope: Envelope) -> datetime:
        headers: dict[str, FieldValue] = {ENVELOPE: encode_head(envelope)}
        return letter(StreamMessage(17, "mail", Basic.Properties(headers=headers), b"")).time

    assert died(made.envelope) == NOW - timedelta(hours=2)
    assert died(deferred) == NOW - timedelta(days=1)


def test_a_message_with_a_time_keeps_it() -> None:
    """Its own time is the best."""
    at = datetime(2030, 1, 2, tzinfo=UTC)

    assert letter(StreamMessage(17, "mail", Basic.Properties(timestamp=at), b"")).time == at


@pytest.mark.parametrize("wanted", [Filter(older=timedelta(days=1)), Filter(newer=timedelta(days=40_000))])
def test_no_filter_by_age_takes_it(wanted: Filter) -> None:
    """A letter of unknown age is chosen by other filters only."""
    assert not wanted.takes(timeless(), NOW)
    assert Filter(queue="mail").takes(timeless(), NOW)


def test_the_ages_of_a_group_are_those_that_are_known() -> None:
    """A letter without a time is counted, and has no part in the range."""
    (group,) = grouped([timeless(), recent(), timeless(3)])
    (nameless,) = grouped([timeless(), timeless(3)])

    assert (group.count, group.oldest, group.newest) == (3, NOW - timedelta(hours=2), NOW - timedelta(hours=2))
    assert group_to_json(nameless)["oldest"] is None
    assert span([]) == (UNKNOWN_TIME, UNKNOWN_TIME)


def test_people_read_that_it_is_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    """In lists, in the summary, on the page, and in the doctor's line."""
    made = replace(a_letter(), time=UNKNOWN_TIME)
    print_letters(terminal(), [timeless()], NOW)
    print_groups(terminal(), grouped([timeless()]), NOW)
    print_letter(terminal(), History(timeless(), []), made, NOW)
    printed = capsys.readouterr().out

    assert printed.count("unknown") == 4
    assert " d ago" not in printed.replace("1 d ago", "")
    assert "at an unknown time" in printed
    assert _total([timeless(), recent()], None, NOW).endswith("the oldest 2 h ago, the newest 2 h ago.")
    assert _total([timeless()], None, NOW).endswith("the oldest at an unknown time, the newest at an unknown time.")
    assert dead_letters([timeless()], NOW).sentence == "1 dead letter without a decision"
    assert dead_letters([timeless(), recent()], NOW).sentence.endswith("the oldest for 2 h")


def test_programs_read_null() -> None:
    """A JSON document has no time for it."""
    made = replace(a_letter(), time=UNKNOWN_TIME)

    assert letter_to_json(timeless())["time"] is None
    assert letter_to_document(History(timeless(), []), made)["time"] is None
    assert ago(NOW - timedelta(hours=2), NOW) == "2 h ago"
