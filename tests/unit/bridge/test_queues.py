"""Which queues take a name."""

from bridge.queues import Queue, route

MAIL = Queue("mail", ("mail.#", "order.paid"))
AUDIT = Queue("audit", ("order.#",))
REST = Queue("default")


def test_every_queue_with_a_matching_pattern_takes_it() -> None:
    """Two queues may take one event."""
    assert route([MAIL, AUDIT, REST], "order.paid") == ("mail", "audit")


def test_the_catch_all_takes_only_what_no_other_takes() -> None:
    """A new queue for a branch takes the branch away from it."""
    assert route([MAIL, REST], "mail.sent") == ("mail",)
    assert route([MAIL, REST], "account.created") == ("default",)


def test_without_a_catch_all_an_event_may_have_no_queue() -> None:
    """Then `defer()` says so."""
    assert route([MAIL, AUDIT], "account.created") == ()
