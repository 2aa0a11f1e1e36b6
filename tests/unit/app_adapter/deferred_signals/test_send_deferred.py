"""`events.send_deferred`: a publisher that decides that a signal is sent later."""

import pytest
from blinker import NamedSignal

from app_adapter import DeferError
from app_adapter.testing import Recording
from bridge.handling import Priority
from bridge.outcome import Failed, Succeeded
from tests.unit.app_adapter.deferred_signals import receivers
from tests.unit.app_adapter.deferred_signals.receivers import Mailer, book, mailer, send_receipt, ship
from tests.unit.app_adapter.replays import Shop

HERE = "tests.unit.app_adapter.deferred_signals.receivers"


def test_a_deferred_signal_calls_the_receivers_that_are_connected_in_the_pool(
    shop: Shop, order_paid: NamedSignal, deferred: Recording
) -> None:
    """One event for all of them. Those that are connected after the sending count, and the sender filters them."""
    shop.events.signal(order_paid)
    order_paid.connect(book, sender="till")

    event_id = shop.events.send_deferred(order_paid, shop.app, order=17)
    order_paid.connect(send_receipt)
    order_paid.connect(ship, sender=shop.app)

    assert [(event.id, event.name) for event in deferred] == [(event_id, "signal.order-paid")]
    assert receivers.calls == []
    assert deferred.replay() == [Succeeded()]
    assert receivers.calls == [
        ("send_receipt", shop.app, {"order": 17}),
        ("ship", shop.app, {"order": 17}),
    ]

    order_paid.disconnect(send_receipt)
    order_paid.connect(mailer.paid)
    shop.events.send_deferred(order_paid, shop.app, order=18)
    deferred.replay()
    assert receivers.names()[2:] == ["ship", "paid"]


def test_a_retry_calls_the_receivers_that_have_not_finished(
    shop: Shop, order_paid: NamedSignal, deferred: Recording
) -> None:
    """Lambdas and methods of several objects too: they have a name and a number in the order of their connection."""
    shop.events.signal(order_paid)
    first, second = Mailer(), Mailer()
    for receiver in (first.paid, send_receipt, second.paid):
        order_paid.connect(receiver)
    receivers.failing["send_receipt"] = ValueError("no paper")
    shop.events.send_deferred(order_paid)
    data = deferred[0].event.data

    verdict = shop.replay("signal.order-paid", data).verdict

    assert verdict.finished == (f"{HERE}:Mailer.paid", f"{HERE}:Mailer.paid 2")
    receivers.calls.clear()
    receivers.failing.clear()
    assert shop.replay("signal.order-paid", data, finished=verdict.finished).verdict.kind == "delivered"
    assert receivers.names() == ["send_receipt"]


def test_a_deferred_receiver_has_an_event_of_its_own_with_its_own_options(
    shop: Shop, order_paid: NamedSignal, deferred: Recording
) -> None:
    """The deferred signal is sent in the pool, and there the receiver defers itself."""
    shop.events.deferred(order_paid, priority="low")(send_receipt)

    shop.events.send_deferred(order_paid, shop.app, order=17)
    deferred.replay()

    assert [event.name for event in deferred] == ["signal.order-paid", f"signal.order-paid.{HERE}.send_receipt"]
    assert deferred[1].handling.priority is Priority.LOW
    deferred.replay()
    assert receivers.calls == [("send_receipt", shop.app, {"order": 17})]


def test_a_signal_without_receivers_in_the_pool_fails(shop: Shop, order_paid: NamedSignal, deferred: Recording) -> None:
    """As an event without a listener does: the module that connects them may not be imported."""
    shop.events.signal(order_paid)
    shop.events.send_deferred(order_paid)

    [outcome] = deferred.replay(check=False)

    assert isinstance(outcome, Failed)
    assert outcome.error.message == "no listener for 'signal.order-paid' in this app"


def test_an_option_is_no_argument(shop: Shop, order_paid: NamedSignal, deferred: Recording) -> None:
    """The options of `defer()` have a `_`, so a signal may have arguments of their names."""
    shop.events.signal(order_paid)
    order_paid.connect(send_receipt)

    shop.events.send_deferred(
        order_paid, shop.app, priority=1, key="k", delay=None, _priority="high", _key="order-17", _delay="1m"
    )

    [event] = deferred
    assert (event.handling.priority, event.handling.key, event.delay) == (Priority.HIGH, "order-17", "1m")
    deferred.replay()
    assert receivers.calls == [("send_receipt", shop.app, {"priority": 1, "key": "k", "delay": None})]


def test_a_signal_that_is_not_registered_cannot_be_sent(shop: Shop, order_paid: NamedSignal) -> None:
    """The pool would not know it by its name."""
    with pytest.raises(DeferError, match=r"expected a signal that is registered where it is defined: events\.signal"):
        shop.events.send_deferred(order_paid, shop.app)


@pytest.mark.parametrize("data", [b"[]", b"{}", b'{"sender":1,"arguments":[]}', b'{"sender":1,"arguments":{},"x":1}'])
def test_a_payload_of_another_form_fails(shop: Shop, order_paid: NamedSignal, data: bytes) -> None:
    """The error says what was expected; no receiver is called."""
    shop.events.signal(order_paid)
    order_paid.connect(send_receipt)

    verdict = shop.replay("signal.order-paid", data).verdict

    assert verdict.error is not None
    assert "expected a sender and arguments" in verdict.error.message
    assert receivers.calls == []
