"""The breakers of one queue: which events they hold."""

import pytest

from bridge.attempt import Error
from bridge.outcome import Failed, Outcome, Overloaded, Succeeded
from worker.events.breaker import Closed, Opened
from worker.events.queue_breaker import NAMES, NAMES_COUNTED, Change, QueueBreaker

AWAY = Error("ConnectionError", "no route to 10.0.0.7:443")
FAILED = Failed(AWAY)


def failed(breaker: QueueBreaker, name: str, events: int = 3, now: float = 0.0) -> list[Change]:
    """Let different events of a name fail alike; return what the breakers do because of the last one."""
    changes: list[Change] = []
    for number in range(events):
        changes = breaker.note(name, f"{name} {number}", FAILED, now)
    return changes


def held(breaker: QueueBreaker, *names: str) -> list[bool]:
    """Return which of the names are held."""
    return [breaker.holding(name) is not None for name in names]


def test_events_of_the_other_names_go_on() -> None:
    """Also if they fail now and then in the same way."""
    breaker = QueueBreaker(3)
    assert failed(breaker, "mail.send") == [Change("mail.send", Opened(3, AWAY))]
    failed(breaker, "sms.send", 2)

    assert held(breaker, "mail.send", "sms.send", "push.send") == [True, False, False]
    assert not breaker.holds_all
    assert breaker.holding(None) is None


def test_the_success_of_another_name_says_nothing_about_a_name() -> None:
    """Neither before the breaker opens, nor afterwards."""
    breaker = QueueBreaker(3)
    failed(breaker, "mail.send", 2)
    breaker.note("sms.send", "s1", Succeeded(), 0.0)
    assert failed(breaker, "mail.send") != []
    assert breaker.note("sms.send", "s2", Succeeded(), 1.0) == []
    assert held(breaker, "mail.send") == [True]


def test_a_success_frees_its_name() -> None:
    """The sentence about it is gone too."""
    breaker = QueueBreaker(3)
    failed(breaker, "mail.send")
    assert (breaker.why(0.0) or "").startswith("the breaker of mail.send: 3 events in a row failed alike (Conn")
    breaker.begins("mail.send", "probe")
    assert breaker.note("mail.send", "probe", Succeeded(), 4.0) == [Change("mail.send", Closed(4.0))]
    assert held(breaker, "mail.send") == [False]
    assert breaker.why(4.0) is None


def test_a_probe_is_that_of_its_name() -> None:
    """An event of another name that begins meanwhile is none."""
    breaker = QueueBreaker(3)
    failed(breaker, "mail.send")
    breaker.begins("sms.send", "s1")
    holding = breaker.holding("mail.send")
    assert holding is not None
    assert holding.wait(1.0) == 0.0
    breaker.begins("mail.send", "m1")
    assert holding.wait(1.0) > 1e9
    breaker.left("mail.send", "m1")
    assert holding.wait(1.0) == 0.0


def test_many_names_that_need_the_same_service() -> None:
    """The whole queue is held after one failure of each of as many names, and free when any of its events succeeds."""
    breaker = QueueBreaker(3)
    changes = [change for number in range(NAMES) for change in failed(breaker, f"tenant.{number}", 1)]
    assert changes == [Change(None, Opened(NAMES, AWAY))]
    assert (breaker.holds_all, held(breaker, "tenant.99")) == (True, [True])
    assert (breaker.why(0.0) or "").startswith(f"its breaker: {NAMES} event names in a row failed alike")

    assert breaker.note("tenant.99", "e", Succeeded(), 2.0) == [Change(None, Closed(2.0))]
    assert held(breaker, "tenant.0") == [False]


@pytest.mark.parametrize("outcome", [Succeeded(), Failed(Error("KeyError", "'total'"))])
def test_names_of_which_one_gets_through(outcome: Outcome) -> None:
    """The whole queue is not held."""
    breaker = QueueBreaker(3)
    for number in range(NAMES - 1):
        failed(breaker, f"tenant.{number}", 1)
    breaker.note("order.paid", "o", outcome, 0.0)
    failed(breaker, "tenant.last", 1)
    assert not breaker.holds_all


def test_a_queue_that_is_held_as_a_whole() -> None:
    """Events of any name count for it, and any success frees it."""
    breaker = QueueBreaker(3, as_a_whole=True)
    failed(breaker, "mail.send", 2)
    assert breaker.note("sms.send", "s1", FAILED, 0.0) == [Change(None, Opened(3, AWAY))]
    assert held(breaker, "mail.send", "push.send") == [True, True]
    assert breaker.note("mail.send", "m9", Succeeded(), 5.0) == [Change(None, Closed(5.0))]


def test_one_bad_event_holds_nobody_up() -> None:
    """However often it fails."""
    breaker = QueueBreaker(3)
    for _ in range(50):
        assert breaker.note("mail.send", "bad", FAILED, 0.0) == []


TOLD = Opened(3, AWAY, "web1:17")


def test_another_worker_tells_that_it_holds_a_name() -> None:
    """That name alone is held here too, until the other worker tells that it is not."""
    breaker = QueueBreaker(3)
    assert breaker.open_as_told("mail.send", TOLD, 0.0) == [Change("mail.send", TOLD)]
    assert breaker.open_as_told("mail.send", TOLD, 0.0) == []
    assert held(breaker, "mail.send", "sms.send") == [True, False]
    assert breaker.opened == [("mail.send", TOLD)]

    assert breaker.close_as_told("sms.send", "web1:17", 2.0) == []
    assert breaker.close_as_told("mail.send", "web1:17", 2.0) == [Change("mail.send", Closed(2.0, "web1:17"))]
    assert (breaker.opened, breaker.by_name) == ([], {})


@pytest.mark.parametrize(("as_a_whole", "name"), [(False, None), (True, None), (True, "mail.send")])
def test_another_worker_tells_that_it_holds_the_whole_queue(as_a_whole: bool, name: str | None) -> None:
    """So does a name in a queue that is held as a whole here, as during a deployment that changes its patterns."""
    breaker = QueueBreaker(3, as_a_whole=as_a_whole)
    assert breaker.open_as_told(name, TOLD, 0.0) == [Change(None, TOLD)]
    assert (breaker.holds_all, breaker.by_name) == (True, {})
    assert breaker.close_as_told(name, "web1:17", 2.0) == [Change(None, Closed(2.0, "web1:17"))]


def test_names_without_end() -> None:
    """The failures of the newest thousand are counted, and a name that is held stays held."""
    breaker = QueueBreaker(2)
    failed(breaker, "mail.send", 2)
    for number in range(3 * NAMES_COUNTED):
        breaker.note(f"tenant.{number}", f"e{number}", Failed(Error(f"E{number}", "")), 0.0)
    assert held(breaker, "mail.send", "tenant.0") == [True, False]
    assert len(breaker.by_name) == NAMES_COUNTED


def test_a_sentence_has_few_names() -> None:
    """A status does not grow with the names that are held."""
    breaker = QueueBreaker(2)
    for name in ("a", "b", "c", "d", "e"):
        failed(breaker, name, 2)
    why = breaker.why(0.0) or ""
    assert why.endswith("; 2 more names are held")
    assert why.count("the breaker of") == 3


def test_a_snooze_is_no_failure() -> None:
    """It makes no breaker for its name."""
    breaker = QueueBreaker(1)
    assert breaker.note("mail.send", "m", Overloaded(AWAY, snoozed=True), 0.0) == []
    assert breaker.by_name == {}
