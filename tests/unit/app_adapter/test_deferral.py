"""The handling that `defer()` reads from its arguments, and the errors for arguments that cannot be used."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask

from app_adapter import DeferError, DeferredEvents
from app_adapter.deferral import Deferral, handling_of
from bridge.handling import PLAIN, Handling, Priority
from bridge.retry_table import RetryTable

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = NOW + timedelta(minutes=10)


def read(due: datetime | None = None, **arguments: Any) -> Handling:
    """Read the handling of an event that is deferred with these arguments."""
    return handling_of(Deferral("a.b", **arguments), due, NOW)


@pytest.mark.parametrize(
    ("arguments", "handling"),
    [
        ({}, PLAIN),
        ({"priority": "high"}, Handling(priority=Priority.HIGH)),
        ({"expires": 600}, Handling(expires=LATER)),
        ({"expires": timedelta(minutes=10)}, Handling(expires=LATER)),
        ({"expires": "10m"}, Handling(expires=LATER)),
        ({"expires": LATER}, Handling(expires=LATER)),
        ({"key": "order-17"}, Handling(key="order-17")),
        ({"retry": {}}, Handling(retry=RetryTable())),
        (
            {"retry": {"attempts": 3, "initial": "10s", "base": 1, "max": 60, "jitter": 0}},
            Handling(retry=RetryTable(3, timedelta(seconds=10), 1.0, timedelta(seconds=60), 0.0)),
        ),
    ],
)
def test_the_handling_is_what_the_caller_asked_for(arguments: dict[str, Any], handling: Handling) -> None:
    """A time counts from the call. A retry table is read as in the settings."""
    assert read(**arguments) == handling


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"priority": "urgent"}, "priority='urgent': expected 'high', 'normal' or 'low'"),
        ({"priority": ["high"]}, r"priority=\['high'\]: expected 'high'"),
        ({"expires": 0}, "expires=0: expected a time after the event is due, 2030"),
        ({"expires": -1}, "expires=-1: expected a time that is not negative"),
        ({"expires": NOW}, "expected a time after the event is due, 2030"),
        ({"expires": "soon"}, "expires='soon': expected a time such as 30, '30s'"),
        ({"expires": datetime(2090, 1, 1)}, "expires=.*: expected a datetime with a time zone"),
        ({"expires": True}, "expires=True: expected seconds, a timedelta, or a text"),
        ({"expires": 1e300}, "expires=1e\\+300: expected a time within the calendar"),
        ({"expires": 600, "due": LATER}, "expires=600: expected a time after the event is due, 2030-01-02T03:14:05"),
        ({"key": ""}, "key='': expected a text of 1 to 200 printable characters"),
        ({"key": "k" * 201}, "key='kkk.*: expected a text of 1 to 200"),
        ({"key": 17}, "key=17: expected a text"),
        ({"key": "a\nb"}, "expected a text of 1 to 200 printable"),
        ({"key": "\ud800"}, "expected a text of 1 to 200 printable"),
        ({"retry": 5}, "retry=5: expected a table"),
        ({"retry": {"attempts": 0}}, r"retry\['attempts'\]=0: expected a whole number, 1 or more"),
        ({"retry": {"tries": 5}}, r"retry\['tries'\].*no such setting.*expected one of attempts, initial"),
        ({"retry": {"initial": "x", "jitter": 2}}, r"retry\['initial'\]='x': .*; retry\['jitter'\]=2: expected"),
    ],
)
def test_an_argument_that_cannot_be_used_is_refused(arguments: dict[str, Any], why: str) -> None:
    """The error names the argument, its value, and what was expected."""
    with pytest.raises(DeferError, match=why):
        read(**arguments)


def test_events_defer_passes_every_argument_on() -> None:
    """A recorded event shows the handling that was asked for."""
    app = Flask("shop")
    events = DeferredEvents(app)

    with events.testing() as deferred:
        events.defer("a.b", priority="low", expires="1h", retry={"attempts": 2}, key="order-17")

    handling = deferred[0].handling
    assert (handling.priority, handling.retry, handling.key) == (Priority.LOW, RetryTable(attempts=2), "order-17")
    assert handling.expires == deferred[0].event.time + timedelta(hours=1)
