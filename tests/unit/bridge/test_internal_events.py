"""Internal events: which moments cause one, and what it says."""

from datetime import timedelta

from bridge.attempt import Error
from bridge.controls import Pause
from bridge.internal_events import EventOfQueue, InternalEvent, asks_for_internal_events, internal_event_of
from bridge.moments import (
    BreakerClosed,
    BreakerOpened,
    BrokerBack,
    BrokerLost,
    ChildLost,
    Moment,
    Paused,
    Resumed,
    Settled,
    WorkerMissing,
)
from bridge.outcome import Failed, Succeeded
from bridge.queues import Queue
from bridge.settlement import Ack, DeadLetter, RetryAfter, Settlement
from tests.unit.bridge.examples import ERROR, NOW, envelope, event


def internal_event_of_now(moment: Moment) -> InternalEvent | None:
    """Return the internal event that the moment causes at the time of the examples."""
    return internal_event_of(moment, NOW)


def settled(settlement: Settlement, name: str = "account.created") -> Settled:
    """Return the moment of this settlement of an event's second attempt."""
    return Settled(envelope(event=event(name=name), spent=1), "mail", Failed(ERROR), settlement, 0.1)


def test_a_dead_letter_causes_one_with_its_reason_in_the_name() -> None:
    """The payload says which event it was, where, and why it died."""
    internal = internal_event_of_now(settled(DeadLetter(envelope(spent=2), "attempts used up", ERROR)))

    assert internal == InternalEvent(
        "bridge.dead_letter.attempts_used_up",
        {
            "id": "0190-id",
            "name": "account.created",
            "queue": "mail",
            "reason": "attempts used up",
            "attempts": 2,
            "error": {"type": ERROR.type, "message": ERROR.message, "traceback": ERROR.traceback},
        },
        letter=EventOfQueue("0190-id", "mail"),
    )


def test_another_settlement_causes_none() -> None:
    """A success and a retry are not worth an event each."""
    assert internal_event_of_now(settled(RetryAfter(envelope(), timedelta(seconds=1), ERROR))) is None
    assert internal_event_of_now(Settled(envelope(), "mail", Succeeded(), Ack(), 0.1)) is None


def test_a_lost_child_and_a_lost_broker_cause_one() -> None:
    """That of a lost broker is published when the broker is back."""
    lost = internal_event_of_now(ChildLost(17, "was killed by SIGKILL", 3, "order.paid"))
    back = internal_event_of_now(BrokerBack(2.5))

    assert lost == InternalEvent(
        "bridge.child.lost", {"pid": 17, "why": "was killed by SIGKILL", "requests": 3, "event": "order.paid"}
    )
    assert back == InternalEvent("bridge.broker.lost", {"seconds": 2.5})
    assert internal_event_of_now(BrokerLost("away")) is None


def test_an_internal_event_causes_no_further_one() -> None:
    """Neither as a dead letter, nor by the child that it kills."""
    dead = DeadLetter(envelope(), "rejected", ERROR)
    assert internal_event_of_now(settled(dead, "bridge.dead_letter.rejected")) is None
    assert internal_event_of_now(ChildLost(17, "was killed by SIGKILL", 3, "bridge.child.lost")) is None


def test_a_pause_and_its_end_cause_one_with_the_same_fact_in_each_worker() -> None:
    """A worker that starts later is told of the pause too, and publishes nothing."""
    pause = Pause("p1", "mail", None, NOW + timedelta(hours=1), "ana@web1", "provider down", NOW)
    payload = {
        "queue": "mail",
        "events": None,
        "until": "2026-05-04T04:02:01.123456Z",
        "who": "ana@web1",
        "why": "provider down",
        "event": None,
    }

    assert internal_event_of_now(Paused(pause)) == InternalEvent("bridge.queue.paused", payload, "p1")
    assert internal_event_of_now(Resumed(pause)) == InternalEvent("bridge.queue.resumed", payload, "p1")
    assert internal_event_of(Paused(pause), NOW + timedelta(minutes=2)) is None


def test_a_breaker_causes_one_when_it_opens_and_one_when_it_closes() -> None:
    """With the error that the events of the queue have in common."""
    error = {"type": "ConnectionError", "message": "no route", "traceback": None}
    opened = BreakerOpened("mail", "mail.send", 10, Error("ConnectionError", "no route"))
    payload = {"queue": "mail", "name": "mail.send", "events": 10, "error": error}
    assert internal_event_of_now(opened) == InternalEvent("bridge.queue.held", payload)
    freed = InternalEvent("bridge.queue.freed", {"queue": "mail", "name": None, "seconds": 12.346})
    assert internal_event_of_now(BreakerClosed("mail", None, 12.3456)) == freed


def test_a_missing_worker_causes_one_with_the_same_fact_whoever_finds_it() -> None:
    """It is told again if another worker takes over the look."""
    internal = internal_event_of_now(WorkerMissing("web2", 4711, "shop:app", NOW))

    seen = "2026-05-04T03:02:01.123456Z"
    payload = {"host": "web2", "pid": 4711, "app": "shop:app", "seen": seen}
    assert internal == InternalEvent("bridge.worker.missing", payload, f"web2 4711 {seen}")


def test_a_site_asks_by_a_pattern_that_names_them() -> None:
    """`#` and a word of another name do not."""
    assert asks_for_internal_events([Queue("default"), Queue("alerts", ("bridge.#",))])
    assert not asks_for_internal_events([Queue("default"), Queue("all", ("#", "*.dead_letter.#", "bridges.#"))])
