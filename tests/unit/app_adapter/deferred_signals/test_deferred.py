"""`@events.deferred`: a receiver that decides for itself to run later."""

import gc
from datetime import timedelta
from typing import Any

import pytest
from blinker import NamedSignal, Signal

from app_adapter import DeferError, Reject, event_deferred
from app_adapter.booting import BootError, warm_up
from app_adapter.testing import Recording
from bridge.handling import Priority
from bridge.outcome import Failed, Rejected, Succeeded
from tests.unit.app_adapter.deferred_signals import receivers
from tests.unit.app_adapter.deferred_signals.receivers import book, mailer, send_receipt, ship
from tests.unit.app_adapter.replays import Shop

HERE = "tests.unit.app_adapter.deferred_signals.receivers"
RECEIPT = f"signal.order-paid.{HERE}.send_receipt"


def test_a_deferred_receiver_runs_later_with_what_was_sent(
    shop: Shop, order_paid: NamedSignal, deferred: Recording
) -> None:
    """It gets the sender and the arguments that it would have had; sending returns the event's id."""
    assert shop.events.deferred(order_paid)(send_receipt) is send_receipt

    [(_, event_id)] = order_paid.send(shop.app, order=17, lines=("a", "b"))

    assert receivers.calls == []
    assert [(event.id, event.name) for event in deferred] == [(event_id, RECEIPT)]
    assert deferred.replay() == [Succeeded()]
    [(name, sender, arguments)] = receivers.calls
    assert (name, arguments) == ("send_receipt", {"order": 17, "lines": ("a", "b")})
    assert sender is shop.app


def test_each_receiver_has_its_own_event_and_retries(shop: Shop, order_paid: NamedSignal, deferred: Recording) -> None:
    """One that fails is retried without the others. Async functions and methods of objects are receivers too."""
    for receiver in (send_receipt, book, ship, mailer.paid):
        shop.events.deferred(order_paid)(receiver)
    receivers.failing["book"] = ValueError("no book")

    order_paid.send(shop.app, order=17)
    outcomes = {event.name.removeprefix(f"signal.order-paid.{HERE}."): event.replay(check=False) for event in deferred}

    assert {name: type(outcome) for name, [outcome] in outcomes.items()} == {
        "send_receipt": Succeeded,
        "book": Failed,
        "ship": Succeeded,
        "Mailer.paid": Succeeded,
    }
    assert sorted(receivers.names()) == ["book", "paid", "send_receipt", "ship"]


def test_a_receiver_of_one_sender_gets_what_that_sender_sends(
    shop: Shop, order_paid: NamedSignal, deferred: Recording
) -> None:
    """It may be connected for several senders, and has one event for each signal."""
    shop.events.deferred(order_paid, sender="till")(send_receipt)
    shop.events.deferred(order_paid, sender="web")(send_receipt)

    for sender in ("till", "web", "phone"):
        order_paid.send(sender)

    assert [event.payload["sender"] for event in deferred] == ["till", "web"]


def test_the_options_are_those_of_defer(shop: Shop, order_paid: NamedSignal, deferred: Recording) -> None:
    """The key may be a function of what was sent."""
    shop.events.deferred(
        order_paid,
        delay="5m",
        priority="low",
        expires=timedelta(hours=1),
        retry={"attempts": 2},
        key=lambda sender, order: f"order-{order}",
        within="10m",
    )(send_receipt)

    order_paid.send(shop.app, order=17)
    order_paid.send(shop.app, order=17)

    [event] = deferred
    assert event.delay == "5m"
    assert (event.handling.priority, event.handling.key) == (Priority.LOW, "order-17")
    assert event.handling.retry is not None
    assert event.handling.retry.attempts == 2
    assert event.handling.expires is not None


def test_a_receiver_has_what_a_listener_may_raise(shop: Shop, order_paid: NamedSignal, deferred: Recording) -> None:
    """`Reject` is a dead letter at once."""
    shop.events.deferred(order_paid)(send_receipt)
    receivers.failing["send_receipt"] = Reject("no address")

    order_paid.send(shop.app)

    [outcome] = deferred.replay(check=False)
    assert isinstance(outcome, Rejected)


def test_an_async_receiver_stops_the_boot_where_it_cannot_run(order_paid: NamedSignal) -> None:
    """As an async listener does, so that no event finds out."""
    shop = Shop()
    shop.events.deferred(order_paid)(ship)

    with pytest.raises(BootError, match=r"receivers\.ship' cannot be called: install flask\[async\]"):
        warm_up(shop.state, lambda app, sock: None)


def test_a_receiver_that_the_pool_does_not_have_fails(shop: Shop, order_paid: NamedSignal) -> None:
    """An event is no way to import or call a function that the app has not registered."""
    shop.events.deferred(order_paid)(send_receipt)

    verdict = shop.replay("signal.order-paid.os.system", b'{"sender":"ls","arguments":{}}').verdict

    assert verdict.kind == "failed"
    assert verdict.error is not None
    assert verdict.error.message == "no listener for 'signal.order-paid.os.system' in this app"


def test_the_connection_lasts_as_long_as_the_extension(order_paid: NamedSignal) -> None:
    """A signal of a library keeps no app of a test alive."""
    shop = Shop()
    shop.events.deferred(order_paid)(send_receipt)
    gc.collect()
    assert order_paid.receivers

    del shop
    gc.collect()

    assert not order_paid.receivers


def _in_a_function() -> Any:
    def closure(sender: Any) -> None: ...

    return closure


class Unbound:
    """A class with a method that would be called without its object."""

    def paid(self, sender: Any) -> None:
        """Do nothing."""


def _yielding(sender: Any) -> Any:
    yield


@pytest.mark.parametrize(
    ("receiver", "error", "message"),
    [
        (lambda sender: None, ValueError, "expected one that is defined in a module.*give it a name"),
        (_in_a_function(), ValueError, "closure'?: expected one that is defined in a module.*move it out"),
        (Unbound.paid, TypeError, "this one is a method"),
        (_yielding, TypeError, "this one is a generator"),
        (lambda: None, TypeError, "can be called with a sender"),
        (17, TypeError, "got an object of the type int"),
    ],
)
def test_a_receiver_that_the_pool_cannot_find_or_call_is_refused(
    shop: Shop, order_paid: NamedSignal, receiver: Any, error: type[Exception], message: str
) -> None:
    """When it is registered, with a remedy."""
    with pytest.raises(error, match=message):
        shop.events.deferred(order_paid)(receiver)
    assert not order_paid.receivers


def test_two_receivers_of_one_name_are_told_apart(shop: Shop, order_paid: NamedSignal) -> None:
    """Another function of the same name, and the same function with other options, raise."""
    shop.events.deferred(order_paid, name="mail")(send_receipt)

    with pytest.raises(ValueError, match=r"'signal.order-paid.mail': another function has this name; pass name="):
        shop.events.deferred(order_paid, name="mail")(book)
    with pytest.raises(ValueError, match="expected the same options"):
        shop.events.deferred(order_paid, name="mail", delay=5)(send_receipt)


def test_an_option_that_cannot_be_used_raises_at_registration(shop: Shop, order_paid: NamedSignal) -> None:
    """Not when the signal is sent."""
    with pytest.raises(DeferError, match="priority='urgent': expected 'high', 'normal' or 'low'"):
        shop.events.deferred(order_paid, priority="urgent")  # type: ignore[arg-type]
    with pytest.raises(DeferError, match="within='5m': expected a key"):
        shop.events.deferred(order_paid, within="5m")


def test_a_signal_needs_a_name_of_its_own(shop: Shop, order_paid: NamedSignal) -> None:
    """A nameless signal, one whose name is no word, and a second one with the name are registered with another name."""
    events = shop.events
    events.deferred(order_paid)(send_receipt)

    for signal in (Signal(), NamedSignal("order paid"), NamedSignal("order.paid"), NamedSignal("order-paid")):
        with pytest.raises(ValueError, match="expected"):
            events.deferred(signal)
        events.deferred(events.signal(signal, name=f"other-{id(signal)}"))(send_receipt)
    with pytest.raises(ValueError, match="expected a signal that the deferring of an event does not send"):
        events.deferred(event_deferred)
    with pytest.raises(TypeError, match="expected a signal of blinker"):
        events.signal("order-paid")  # type: ignore[type-var]
