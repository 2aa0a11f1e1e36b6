"""What a reply, or a broken exchange, comes to: the whole table, and nothing else is a success."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from bridge.attempt import Error
from bridge.outcome import (
    BrokenOff,
    Crashed,
    Exchange,
    Failed,
    NotTaken,
    Outcome,
    OutOfTime,
    Overloaded,
    PoolUnavailable,
    Rejected,
    Reply,
    Succeeded,
    TimedOut,
    Trust,
    outcome_of,
)

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
ERROR = '{"type": "ValueError", "message": "no", "traceback": "T"}'


def spoken(outcome: str, **headers: str) -> Reply:
    """A reply in which the receiver speaks."""
    return Reply(200, {"bridge-outcome": outcome, **{key.replace("_", "-"): value for key, value in headers.items()}})


def of(exchange: Exchange, trust: Trust = Trust.RECEIVER) -> Outcome:
    """What it comes to, now."""
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
        (spoken("overloaded", bridge_error=ERROR, retry_after="9"), Overloaded(Error("ValueError", "no", "T"), 9.0)),
        (OutOfTime(60.0), TimedOut(Error("timeout", "no reply within 60 s"))),
        (BrokenOff("the stream ended"), Crashed(Error("crash", "the stream ended"))),
        (NotTaken("refused"), PoolUnavailable("refused")),
    ],
)
def test_each_row_of_the_table(reply: Exchange, expected: Outcome) -> None:
    """The receiver's word, or the way in which the exchange broke, decides."""
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
        Reply(503, {"retry-after": "3"}),
    ],
)
def test_an_answer_without_a_verdict_is_a_failure_whatever_its_status(reply: Reply) -> None:
    """A login wall, a catch-all page, a CSRF check and an error handler say nothing about the event."""
    outcome = of(reply)
    assert isinstance(outcome, Failed)
    assert outcome.error.type == "no verdict"
    assert str(reply.status) in outcome.error.message


def test_the_message_quotes_where_a_login_wall_leads() -> None:
    """Who reads the dead letter sees at once what answered."""
    outcome = of(Reply(302, {"location": "/login?next=/_bridge"}, b"go away"))
    assert isinstance(outcome, Failed)
    assert "'/login?next=/_bridge'" in outcome.error.message
    assert "go away" in outcome.error.message


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
def test_a_trusted_status_decides_where_no_receiver_speaks(status: int, expected: type) -> None:
    """For a pool that cannot send the header, the status is the verdict."""
    assert isinstance(of(Reply(status, {}), Trust.STATUS), expected)


def test_a_receiver_outranks_a_trusted_status() -> None:
    """The header is the more precise word."""
    assert isinstance(of(Reply(200, {"bridge-outcome": "reject"}), Trust.STATUS), Rejected)


def test_a_trusted_status_with_more_body_than_announced_is_a_failure() -> None:
    """A reply that contradicts itself is no success."""
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
    """What is neither is passed over, and the policy waits."""
    outcome = of(spoken("retry", retry_after=text))
    assert isinstance(outcome, Failed)
    assert outcome.wait == seconds


@pytest.mark.parametrize("damaged", ["", "not json", "7", "[]", '{"type": 1}', "[" * 100_000])
def test_a_damaged_error_is_kept_as_it_came(damaged: str) -> None:
    """The verdict holds, and nothing is lost."""
    outcome = of(spoken("failed", bridge_error=damaged))
    assert isinstance(outcome, Failed)


@pytest.mark.parametrize("damaged", ["", "no", "7", "{}", '"x"', "[" * 100_000])
def test_damaged_names_of_finished_listeners_are_none(damaged: str) -> None:
    """Then all listeners run again: at least once."""
    outcome = of(spoken("failed", bridge_finished=damaged))
    assert isinstance(outcome, Failed)
    assert outcome.finished == ()
