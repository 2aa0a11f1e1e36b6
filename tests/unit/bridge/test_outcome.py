"""The outcome of each kind of reply and broken exchange. Nothing outside the table is a success."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from bridge.attempt import Error
from bridge.outcome import (
    BrokenOff,
    Crashed,
    Evidence,
    Failed,
    Halted,
    NotBegun,
    Outcome,
    OutOfTime,
    Overloaded,
    Rejected,
    Reply,
    Succeeded,
    TimedOut,
    TooLate,
    Unsendable,
    outcome_of,
)
from bridge.trust import Trust

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
ERROR = '{"type": "ValueError", "message": "no", "traceback": "T"}'


def spoken(outcome: str, **headers: str) -> Reply:
    """Return a reply with the receiver's verdict."""
    return Reply(200, {"bridge-outcome": outcome, **{key.replace("_", "-"): value for key, value in headers.items()}})


def of(exchange: Evidence, trust: Trust = Trust.RECEIVER) -> Outcome:
    """Return the outcome of the exchange at the time `NOW`."""
    return outcome_of(exchange, trust, NOW)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (spoken("delivered"), Succeeded()),
        (spoken("delivered", bridge_release="v7"), Succeeded("v7")),
        (spoken("reject", bridge_error=ERROR), Rejected(Error("ValueError", "no", "T"))),
        (spoken("failed", bridge_error=ERROR), Failed(Error("ValueError", "no", "T"), None, ())),
        (
            spoken("failed", bridge_error=ERROR, bridge_finished='["a", "b"]'),
            Failed(Error("ValueError", "no", "T"), None, ("a", "b")),
        ),
        (spoken("retry", bridge_error=ERROR, retry_after="7"), Failed(Error("ValueError", "no", "T"), 7.0, ())),
        (
            spoken("overloaded", bridge_error=ERROR, retry_after="9", bridge_finished='["a"]'),
            Overloaded(Error("ValueError", "no", "T"), 9.0, None, True, ("a",)),
        ),
        (spoken("halt", bridge_error=ERROR, bridge_finished='["a"]'), Halted(Error("ValueError", "no", "T"), ("a",))),
        (TooLate(NOW), NotBegun(Error("expired", "not begun before 2026-05-04T03:02:01.000000Z"))),
        (OutOfTime(60.0), TimedOut(Error("timeout", "no reply within 60 s"))),
        (BrokenOff("the stream ended"), Crashed(Error("crash", "the stream ended"))),
        (Unsendable("HTTP_CE_ID is too long"), Rejected(Error("unsendable", "HTTP_CE_ID is too long"))),
    ],
)
def test_each_row_of_the_table(reply: Evidence, expected: Outcome) -> None:
    """The receiver's verdict, or the way in which the exchange broke, decides the outcome."""
    assert of(reply) == expected


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, {}, b"<h1>welcome</h1>"),
        Reply(204, {}),
        Reply(302, {"location": "/login"}),
        Reply(400, {}, b"CSRF token missing"),
        Reply(404, {}),
        Reply(500, {}, b"error page"),
        Reply(200, {"bridge-outcome": "success"}),
        Reply(200, {"bridge-outcome": ""}),
        Reply(502, {"retry-after": "3"}),
        Reply(504, {}),
        Reply(503, {"bridge-outcome": "busy"}),
    ],
)
def test_an_answer_without_a_verdict_is_a_failure(reply: Reply) -> None:
    """Replies of a login page, a catch-all page, a CSRF check and an error handler say nothing about the event."""
    outcome = of(reply)
    assert isinstance(outcome, Failed)
    assert outcome.error.type == "no verdict"
    assert str(reply.status) in outcome.error.message


def test_the_message_quotes_the_location_of_a_redirect() -> None:
    """The error of a redirect quotes its Location and body, so a reader of the dead letter sees what answered."""
    outcome = of(Reply(302, {"location": "/login?next=/_bridge"}, b"go away"))
    assert isinstance(outcome, Failed)
    assert "'/login?next=/_bridge'" in outcome.error.message
    assert "go away" in outcome.error.message


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("headers", "wait"), [({}, None), ({"retry-after": "30"}, 30.0)])
def test_a_rate_limit_in_front_of_the_receiver_makes_the_event_wait(
    status: int, headers: dict[str, str], wait: float | None
) -> None:
    """The event did not run, so no attempt is spent. The error quotes the answer."""
    outcome = of(Reply(status, headers, b"10 per minute"))

    assert isinstance(outcome, Overloaded)
    assert outcome.wait == wait
    assert outcome.error.message.startswith(f"the app answered instead of the receiver: status {status}")
    assert "10 per minute" in outcome.error.message


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, Succeeded),
        (204, Succeeded),
        (299, Succeeded),
        (302, Failed),
        (100, Failed),
        (400, Rejected),
        (404, Rejected),
        (422, Rejected),
        (408, Failed),
        (425, Failed),
        (429, Overloaded),
        (500, Failed),
        (502, Failed),
        (503, Overloaded),
    ],
)
def test_a_trusted_status_decides_if_there_is_no_verdict(status: int, expected: type) -> None:
    """With `trust = "status"`, the status decides about a reply without the `Bridge-Outcome` header."""
    assert isinstance(of(Reply(status, {}), Trust.STATUS), expected)


def test_a_receiver_outranks_a_trusted_status() -> None:
    """The `Bridge-Outcome` header decides even if the status is trusted, because it is more precise."""
    assert isinstance(of(Reply(200, {"bridge-outcome": "reject"}), Trust.STATUS), Rejected)


def test_a_trusted_status_with_more_body_than_announced_is_a_failure() -> None:
    """A reply whose body contradicts its Content-Length is not a success."""
    assert isinstance(of(Reply(200, {}, overlong=True), Trust.STATUS), Failed)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), 0.0),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("", None),
        ("Mon, 99 Foo 2026", None),
        ("9" * 500, 9_999_999_999.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str, seconds: float | None) -> None:
    """A `Retry-After` that is neither seconds nor a date is ignored, so the policy decides the wait."""
    outcome = of(spoken("retry", retry_after=text))
    assert isinstance(outcome, Failed)
    assert outcome.wait == seconds


@pytest.mark.parametrize("damaged", ["", "not json", "7", "[]", '{"type": 1}', "[" * 100_000])
def test_a_damaged_error_is_kept_as_it_came(damaged: str) -> None:
    """A damaged `Bridge-Error` header does not void the verdict."""
    outcome = of(spoken("failed", bridge_error=damaged))
    assert isinstance(outcome, Failed)


@pytest.mark.parametrize("damaged", ["", "no", "7", "{}", '"x"', "[" * 100_000])
def test_damaged_names_of_finished_listeners_are_dropped(damaged: str) -> None:
    """If `Bridge-Finished` is damaged, all listeners run again, because each must run at least once."""
    outcome = of(spoken("failed", bridge_finished=damaged))
    assert isinstance(outcome, Failed)
    assert outcome.finished == ()
