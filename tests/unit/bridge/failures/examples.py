"""Failures to group. Has no tests."""

from datetime import UTC, datetime, timedelta

from bridge.history import Entry
from bridge.ledger import Dead

NOW = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)


def dead(number: int, message: str = "no customer 17", *, queue: str = "mail", release: str | None = "v42") -> Dead:
    """Return a letter that died `number` minutes before now."""
    at = NOW - timedelta(minutes=number)
    place = "shop/mails.py welcome"
    return Dead(
        number, at, queue, "rejected", f"id-{number}", "mail.sent", "KeyError", message, 3, True, place, release
    )


def attempt(number: int, message: str = "no customer 17", *, end: str = "retried", age: int = 1) -> Entry:
    """Return the last attempt of the event with this number, `age` minutes before now."""
    at = NOW - timedelta(minutes=age)
    error = ("KeyError", message, "shop/mails.py welcome") if end != "delivered" else (None, None, None)
    due = NOW + timedelta(minutes=number) if end == "retried" else None
    return Entry(at, 0.1, f"id-{number}", "mail.sent", "mail", 2, end, "web1", 7, None, None, "v43", due, None, *error)
