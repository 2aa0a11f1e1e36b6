"""The routing of an event name to queues."""

from bridge.queues import Queue, route

MAIL = Queue("mail", ("mail.#", "order.paid"))
AUDIT = Queue("audit", ("order.#",))
REST = Queue("default")


def test_every_queue_with_a_matching_pattern_takes_it() -> None:
    """Each queue with a matching pattern takes the event, so two queues can take one event."""
    assert route([MAIL, AUDIT, REST], "order.paid") == ("mail", "audit")


def test_the_catch_all_takes_only_what_no_other_takes() -> None:
    """The catch-all takes only the events that match no pattern of another queue."""
    assert route([MAIL, REST], "mail.sent") == ("mail",)
    assert route([MAIL, REST], "account.created") == ("default",)


def test_without_a_catch_all_an_event_may_have_no_queue() -> None:
    """Without a catch-all, an event that matches no pattern has no queue."""
    assert route([MAIL, AUDIT], "account.created") == ()


def test_an_internal_event_goes_only_to_queues_that_name_it() -> None:
    """`#`, `*` and the catch-all do not take it, alone or beside a queue that does."""
    everything = Queue("all", ("#", "*.dead_letter.*"))
    alerts = Queue("alerts", ("#", "bridge.dead_letter.#"))

    assert route([everything, REST], "bridge.dead_letter.rejected") == ()
    assert route([everything, alerts, REST], "bridge.dead_letter.rejected") == ("alerts",)
    assert route([everything, alerts, REST], "bridge.child.lost") == ()
