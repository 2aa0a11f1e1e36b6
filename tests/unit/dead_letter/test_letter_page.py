"""One letter with everything about it: the page and the document."""

import io
import json
from dataclasses import replace
from datetime import timedelta

from rich.console import Console

from bridge.attempt import Attempt, Error
from bridge.handling import Handling, Priority
from bridge.ledger import Letter, Redriven, Transcript, summary
from bridge.retry_table import RetryTable
from dead_letter.choosing import History
from dead_letter.letter_page import letter_to_document, print_letter
from tests.unit.dead_letter.ledger_double import NOW, a_letter, unreadable
from tests.unit.dead_letter.test_rendering import HOSTILE

TRANSCRIPT = Transcript(
    {"PATH_INFO": "/_bridge/order.paid"}, 500, {"x-served-by": "web-3"}, "<h1>Oops</h1>", "a warning"
)
TRACEBACK = 'Traceback (most recent call last):\n  File "shop.py", line 3, in paid\nKeyError: 17'


def _page(letter: Letter, *decisions: Redriven) -> str:
    console = Console(file=io.StringIO(), markup=False, highlight=False, emoji=False, soft_wrap=True)
    print_letter(console, History(summary(17, letter), list(decisions)), letter, NOW)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_page_has_everything_about_the_letter() -> None:
    """The page has event, queue, reason, attempts, both errors, the last exchange and the payload."""
    letter = replace(a_letter(), error=Error("KeyError", "17", TRACEBACK), transcript=TRANSCRIPT)

    page = _page(letter)

    for part in (
        "Dead letter 17, open",
        letter.envelope.event.id,
        "order.paid",
        "mail",
        "attempts used up",
        "2026-03-01 01:00:00Z, 2 h ago",
        "1 in 1 round",
        "v42",
        'File "shop.py", line 3, in paid',
        "KeyError: 'id'",
        "PATH_INFO  /_bridge/order.paid",
        "the reply, 500",
        "x-served-by  web-3",
        "<h1>Oops</h1>",
        "a warning",
        "10 bytes, application/json",
        '"id": 17',
    ):
        assert part in page, part


def test_the_page_has_the_handling_that_the_publisher_asked_for() -> None:
    """A letter without has no line about it. A key cannot confuse the page."""
    plain, retry = a_letter(), RetryTable(5, timedelta(seconds=0.5), 2.0, timedelta(hours=1), 0.0)
    event = plain.envelope.event._replace(handling=Handling(Priority.HIGH, NOW, "order\x1b[2J17", retry))
    letter = replace(plain, envelope=plain.envelope._replace(event=event))

    page = _page(letter)

    for part in (
        r"order\x1b[2J17",
        "priority  high",
        "expires   2026-03-01 03:00:00Z",
        "attempts = 5, initial = 0.5, base = 2, max = 3600, jitter = 0",
    ):
        assert part in page, page
    assert "expires" not in _page(plain)
    assert letter_to_document(History(summary(17, letter), []), letter)["event"]["handling"]["key"] == "order\x1b[2J17"


def test_the_page_has_the_decisions() -> None:
    """A decided letter can be shown. The first line has its decision."""
    decision = Redriven(20, 17, NOW - timedelta(minutes=3), "ann@host", "fixed in v43")

    page = _page(a_letter(), decision)

    assert page.startswith("Dead letter 17, redriven by ann@host 3 min ago: fixed in v43\n")
    assert "2026-03-01 02:57:00Z  redriven by ann@host" in page


def test_a_reason_cannot_confuse_the_heading() -> None:
    """This holds for every reason of a decision."""
    decision = Redriven(20, 17, NOW, "ann@host", "it was late")

    assert _page(a_letter(), decision).startswith("Dead letter 17, redriven by ann@host 0 s ago: it was late\n")


def test_omitted_attempts_are_counted_in_their_place() -> None:
    """A long history loses the attempts in its middle."""
    envelope = a_letter().envelope
    for number in range(2, 41):
        envelope = envelope.remember(Attempt(1, number, NOW, 0.1, "Failed"))

    page = _page(replace(a_letter(), envelope=envelope))

    lines = page.splitlines()
    at = next(place for place, line in enumerate(lines) if "10 attempts omitted" in line)
    assert lines[at - 1].split()[:2] == ["1", "10"]
    assert lines[at + 1].split()[:2] == ["1", "21"]
    assert "40 in 1 round" in page


def test_an_unreadable_envelope_is_shown_unchanged() -> None:
    """A later version of the program may be able to read it."""
    assert '{"v":99}' in _page(unreadable(a_letter()))


def test_the_page_has_no_control_characters() -> None:
    """Names, errors, headers and bodies come from others."""
    hostile = Error(HOSTILE, HOSTILE, HOSTILE)
    letter = a_letter(
        event_id=HOSTILE, name=HOSTILE, queue=HOSTILE, error=hostile, data=HOSTILE.encode("utf-8", "replace")
    )
    transcript = Transcript({HOSTILE: HOSTILE}, 500, {HOSTILE: HOSTILE}, HOSTILE, HOSTILE)
    event = letter.envelope.event._replace(content_type=HOSTILE, source=HOSTILE)
    letter = replace(letter, transcript=transcript, unread=HOSTILE, envelope=letter.envelope._replace(event=event))

    page = _page(letter, Redriven(20, 17, NOW, HOSTILE, HOSTILE))

    assert page.replace("\n", "").isprintable()
    assert "[bold]x[/bold]" in page


def test_the_document_is_complete_json() -> None:
    """The event has the names of CloudEvents."""
    letter = replace(a_letter(), transcript=TRANSCRIPT)
    history = History(summary(17, letter), [Redriven(20, 17, NOW, "ann@host", "fixed")])

    document = json.loads(json.dumps(letter_to_document(history, letter)))

    assert document["number"] == 17
    assert document["open"] is False
    assert document["decisions"] == [
        {"decision": "redriven", "time": "2026-03-01T03:00:00.000000Z", "actor": "ann@host", "reason": "fixed"}
    ]
    assert document["event"]["type"] == "order.paid"
    assert document["event"]["data"] == {"id": 17}
    assert document["attempts"][0]["started"] == "2026-03-01T01:00:00.000000Z"
    assert document["transcript"]["headers"] == {"x-served-by": "web-3"}


def test_a_letter_without_attempts_has_a_page() -> None:
    """An event that no queue took has no attempts."""
    bare = a_letter(queue="")
    letter = replace(bare, envelope=bare.envelope._replace(attempts=(), first_error=None), reason="unroutable")

    page = _page(letter)

    assert "Attempts\n" not in page
    assert "attempts  0 in 1 round" in page
    assert "queue     -" in page
