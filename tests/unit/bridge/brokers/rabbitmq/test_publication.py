"""Publications to RabbitMQ: exchange, routing key and time of each kind."""

from datetime import UTC, datetime, timedelta

import pytest

from bridge.attempt import Error
from bridge.brokers.rabbitmq.publishing.confirmation import Confirmation
from bridge.brokers.rabbitmq.publishing.publication import (
    Publication,
    addressed,
    dead_letter,
    decision,
    event_by_name,
    into_queue,
    log_batch,
    put_back,
    retry,
)
from bridge.brokers.rabbitmq.topology.delay_ladder import LONGEST, bits
from bridge.brokers.rabbitmq.topology.messages import Message, still_due
from bridge.brokers.rabbitmq.topology.names import Names
from bridge.deadline import Deadline
from bridge.envelope import Envelope
from bridge.errors import BrokerRefused, BrokerUnavailable, DeferRejected, DeferUnconfirmed
from bridge.event import Event
from bridge.ledger import Letter
from bridge.logs import AppendUnconfirmed

NAMES = Names("bridge")
MOMENT, NOW = datetime(2030, 1, 1, tzinfo=UTC), 500.0
ENVELOPE = Envelope(Event("the-id", "mail.sent", "shop", MOMENT, "text/plain", b"hello"), MOMENT)
LETTER = Letter(MOMENT, "mail", "rejected", ENVELOPE, Error("x", "y"))


def due(seconds: float) -> datetime:
    """Return a moment that is this many seconds away."""
    return MOMENT + timedelta(seconds=seconds)


def delayed(seconds: int, target: str) -> tuple[str, str]:
    """Return the exchange and the routing key of an entry to the delay ladder."""
    return NAMES.delay(seconds.bit_length() - 1), f"{bits(seconds)}.{target}"


ADDRESSES: list[tuple[Publication, tuple[str, str]]] = [
    (event_by_name(ENVELOPE), ("bridge.events", "mail.sent")),
    (event_by_name(ENVELOPE, due(-1)), ("bridge.events", "mail.sent")),
    (event_by_name(ENVELOPE, due(17)), delayed(17, "e.mail.sent")),
    (into_queue(ENVELOPE, "mail"), ("bridge.direct", "bridge.q.mail")),
    (into_queue(ENVELOPE, "mail", due(0.2)), delayed(1, "q.mail")),
    (put_back(ENVELOPE, "mail", None), ("bridge.direct", "bridge.q.mail")),
    (put_back(ENVELOPE, "mail", due(17)), delayed(17, "q.mail")),
    (retry(ENVELOPE, "mail", timedelta(), NOW), ("bridge.direct", "bridge.q.mail")),
    (retry(ENVELOPE, "mail", timedelta(seconds=17), NOW), delayed(18, "q.mail")),  # 17 has five significant bits
    (retry(ENVELOPE, "mail", timedelta(seconds=17), NOW - 2), delayed(15, "q.mail")),
    (dead_letter(LETTER), ("bridge.dlx", "letter.mail")),
    (decision(Message(b"", {}), 7), ("bridge.dlx", "decision")),
    (log_batch(b"{}", "bridge.log.notes"), ("bridge.direct", "bridge.log.notes")),
]


@pytest.mark.parametrize(("publication", "expected"), ADDRESSES)
def test_addresses(publication: Publication, expected: tuple[str, str]) -> None:
    """Each kind of publication has its exchange and routing key; what is not due yet takes the delay ladder."""
    assert addressed(publication, NAMES, MOMENT, NOW)[1:] == expected


def test_a_wait_ignores_the_machines_clock() -> None:
    """A retry waits by the steady clock, so setting the machine's clock forward makes it no earlier."""
    publication = retry(ENVELOPE, "mail", timedelta(seconds=8), NOW)

    assert addressed(publication, NAMES, due(3600), NOW)[1:] == delayed(8, "q.mail")


@pytest.mark.parametrize(
    ("publication", "wait"),
    [
        (event_by_name(ENVELOPE, due(LONGEST + 100)), LONGEST + 100),
        (event_by_name(ENVELOPE, due(100)), 100),
        (put_back(ENVELOPE, "mail", due(0.7)), 0.7),
        (retry(ENVELOPE, "mail", timedelta(seconds=17), NOW), 17),
    ],
)
def test_the_due_time_travels_with_a_delayed_message(publication: Publication, wait: float) -> None:
    """A message that leaves the delay ladder too early is recognized by it."""
    headers = addressed(publication, NAMES, MOMENT, NOW).message.headers

    assert still_due(headers, due(wait / 2)) == due(wait)
    assert still_due(headers, due(wait)) is None


@pytest.mark.parametrize("publication", [event_by_name(ENVELOPE), into_queue(ENVELOPE, "mail", due(-1))])
def test_a_message_that_is_due_has_no_due_time(publication: Publication) -> None:
    """It is handed out whatever the clock of the consumer says."""
    headers = addressed(publication, NAMES, MOMENT, NOW).message.headers

    assert still_due(headers, due(-(10**6))) is None


def test_clocks_that_disagree_hold_nothing_up() -> None:
    """RabbitMQ's wait counts if a message seems to be sent in the future."""
    headers = addressed(event_by_name(ENVELOPE, due(100)), NAMES, MOMENT, NOW).message.headers

    assert still_due(headers, due(-3600)) is None


@pytest.mark.parametrize("damaged", [{"bridge-due": "never"}, {"bridge-due": 5}, {"bridge-sent": "2030-01-01"}, {}])
def test_damaged_due_times_hold_nothing_up(damaged: dict[str, object]) -> None:
    """Any publisher may write any header."""
    assert still_due(damaged, MOMENT) is None


@pytest.mark.parametrize(
    ("publication", "patient"),
    [
        (event_by_name(ENVELOPE), False),
        (into_queue(ENVELOPE, "mail"), False),
        (put_back(ENVELOPE, "mail", None), True),
        (retry(ENVELOPE, "mail", timedelta(seconds=1), NOW), True),
        (dead_letter(LETTER), True),
    ],
)
def test_only_a_replacement_of_a_delivery_is_patient(publication: Publication, patient: bool) -> None:
    """Publishing a replacement twice would run the event twice; every other caller has a deadline."""
    assert publication.patient is patient


@pytest.mark.parametrize(
    ("known", "error", "words"),
    [
        ({}, BrokerUnavailable, "event the-id: not published within 2 s: no route to host"),
        ({"rejected": True}, DeferRejected, r"event the-id: RabbitMQ does not take it .* for 2 s"),
        ({"in_flight": True}, DeferUnconfirmed, "event the-id: written, not confirmed within 2 s"),
        ({"unknown": True, "rejected": True}, DeferUnconfirmed, "written, not confirmed"),
    ],
)
def test_the_error_says_whether_the_event_may_run(known: dict[str, bool], error: type[Exception], words: str) -> None:
    """The error of an event that was written and not answered says that it may run."""
    confirmation = confirmation_of(event_by_name(ENVELOPE), known)

    with pytest.raises(error, match=words):
        raise confirmation.as_defer_error("no route to host")


@pytest.mark.parametrize(
    ("known", "refused", "error", "words"),
    [
        ({}, False, BrokerUnavailable, "^the decision on letter 7: not published within 2 s: no route to host$"),
        ({}, True, BrokerRefused, "^the decision on letter 7: no route to host$"),
        ({"in_flight": True}, False, AppendUnconfirmed, "letter 7: written, not confirmed within 2 s"),
        ({"unknown": True}, True, AppendUnconfirmed, "letter 7: written, not confirmed within 2 s"),
    ],
)
def test_the_error_says_whether_the_record_may_be_in_the_stream(
    known: dict[str, bool], refused: bool, error: type[Exception], words: str
) -> None:
    """The error of a message to a stream stays a refusal, unless an earlier try may have been written."""
    confirmation = confirmation_of(decision(Message(b"", {}), 7), known)

    with pytest.raises(error, match=words):
        raise confirmation.as_append_error("no route to host", refused=refused)


def confirmation_of(publication: Publication, known: dict[str, bool]) -> Confirmation:
    """Return a confirmation with a budget of 2 s, in this state."""
    confirmation = Confirmation(publication, Deadline.after(2.0, NOW))
    for name, value in known.items():
        setattr(confirmation, name, value)
    return confirmation
