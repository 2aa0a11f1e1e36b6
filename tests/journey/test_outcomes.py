"""Every row of the table from replies to settlements, with the real programs: one worker run for all rows a broker."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from bridge.ledger import Letter
from tests.journey.conftest import BROKERS, make_site
from tests.journey.site import Effect, Site

EVENTS = {
    "delivered": ("do.this", ["ok"]),
    "recovers": ("do.this", ["fail", "ok"]),
    "fails": ("do.this", ["fail"]),
    "rejected": ("do.this", ["reject"]),
    "abort": ("do.this", ["abort:404"]),
    "sys.exit": ("do.this", ["sys.exit", "ok"]),
    "own wait": ("do.this", ["retry:2", "ok"]),
    "always asks to wait": ("do.this", ["retry:1"]),
    "hangs": ("do.hang", ["sleep:3600", "ok"]),
    "exits": ("do.this", ["exit:3", "ok"]),
    "killed": ("do.this", ["kill", "ok"]),
    "noisy": ("do.this", ["stderr:10"]),
    "two listeners": ("two.listeners", []),
    "no listener": ("nobody.listens", []),
    "login wall": ("wall.ed", []),
    "catch-all page": ("page.d", []),
    "overloaded": ("raw.overloaded", []),
    "endless headers": ("raw.endless-headers", []),
    "large": ("raw.large", []),
}


SETTINGS = """
retry = {attempts = 2, initial = '1s', base = 1, jitter = 0}
[queues.hanging]
patterns = ['do.hang']
deadline = '12s'
[queues.default]
"""

WAITS = {"own wait": 2.0, "hangs": 13.0}
"""Seconds between the two attempts, for kinds that do not wait the policy's one second."""


@dataclass
class Aftermath:
    """The effects and dead letters after all events were settled."""

    ids: dict[str, str]
    effects: list[Effect]
    letters: dict[str, Letter]
    overloaded: list[tuple[int, float]]

    def ran(self, kind: str) -> list[Effect]:
        """Return the attempts that reached a listener."""
        return [effect for effect in self.effects if effect.id == self.ids[kind] and effect.began]

    def letter(self, kind: str) -> Letter | None:
        """Return the dead letter of the event, or None."""
        return self.letters.get(self.ids[kind])


@pytest.fixture(scope="module", params=BROKERS)
def aftermath(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    """All kinds of events, after one worker has settled them."""
    site = make_site(request, tmp_path_factory.mktemp("outcomes"))
    site.configure(SETTINGS)
    yield asyncio.run(_settled(site))
    site.remove()


async def _settled(site: Site) -> Aftermath:
    ids = {kind: (await site.defer(name, *steps))[0] for kind, (name, steps) in EVENTS.items()}
    worker = site.worker("--until-settled")
    assert await worker.ended() == 0, worker.log
    letters = {letter.envelope.event.id: letter for letter in await site.letters()}
    return Aftermath(ids, site.effects(), letters, _overloaded(site))


def _overloaded(site: Site) -> list[tuple[int, float]]:
    lines = Path(site.environment["EFFECTS"] + ".overloaded").read_text().splitlines()
    return [(int(attempt), float(at)) for attempt, at in map(str.split, lines)]


@pytest.mark.parametrize("kind", ["delivered"])
def test_a_delivered_event_is_settled(aftermath: Aftermath, kind: str) -> None:
    """A delivered event ran once, and is not a dead letter."""
    assert [effect.attempt for effect in aftermath.ran(kind)] == [1]
    assert aftermath.letter(kind) is None


@pytest.mark.parametrize("kind", ["recovers", "own wait", "sys.exit", "hangs", "exits", "killed"])
def test_a_failed_event_is_tried_again_after_its_wait(aftermath: Aftermath, kind: str) -> None:
    """An exception, a requested wait, a timeout or a lost process lead to attempt 2, not before the wait is over."""
    first, second = aftermath.ran(kind)
    assert (first.attempt, second.attempt) == (1, 2)
    assert second.at - first.at >= WAITS.get(kind, 1.0)
    assert aftermath.letter(kind) is None


@pytest.mark.parametrize(
    ("kind", "reason", "error", "attempts"),
    [
        ("fails", "attempts used up", "ConnectionError", 2),
        ("always asks to wait", "attempts used up", "Retry", 2),
        ("rejected", "rejected", "Reject", 1),
        ("abort", "attempts used up", "werkzeug.exceptions.NotFound", 2),
        ("no listener", "attempts used up", "no listener", 2),
        ("login wall", "attempts used up", "no verdict", 2),
        ("catch-all page", "attempts used up", "no verdict", 2),
        ("endless headers", "attempts used up", "crash", 2),
        ("large", "rejected", "reject", 1),
    ],
)
def test_an_event_that_cannot_succeed_is_a_dead_letter_with_its_reason(
    aftermath: Aftermath, kind: str, reason: str, error: str, attempts: int
) -> None:
    """A dead letter has the reason, the error and all attempts."""
    letter = aftermath.letter(kind)
    assert letter is not None
    assert (letter.reason, letter.error.type, len(letter.envelope.attempts)) == (reason, error, attempts)


def test_a_dead_letter_keeps_the_traceback_and_the_transcript(aftermath: Aftermath) -> None:
    """A dead letter has the parameters of the request, the headers and the error output, and the traceback."""
    letter = aftermath.letter("fails")
    assert letter is not None
    assert letter.transcript is not None
    assert letter.envelope.first_error is not None
    for error in (letter.error, letter.envelope.first_error):
        assert 'raise ConnectionError("downstream is down")' in (error.traceback or "")
    assert letter.transcript.parameters["BRIDGE_ATTEMPT"] == "2"
    assert letter.transcript.headers["bridge-outcome"] == "failed"
    assert "about to fail" in letter.transcript.error_output


def test_an_answer_in_place_of_the_receivers_is_quoted(aftermath: Aftermath) -> None:
    """The error of a redirect has its target, and the error of a page has the beginning of the page."""
    wall, page = aftermath.letter("login wall"), aftermath.letter("catch-all page")
    assert wall is not None
    assert page is not None
    assert "302" in wall.error.message
    assert "/login?next=" in wall.error.message
    assert "Welcome to our shop" in page.error.message


def test_a_reply_of_64_mib_is_drained_and_its_verdict_counts(aftermath: Aftermath) -> None:
    """The verdict of a 64 MiB reply counts, and the transcript has only its beginning and end."""
    letter = aftermath.letter("large")
    assert letter is not None
    assert letter.transcript is not None
    assert len(letter.transcript.body) < 64_000
    assert "cut" in letter.transcript.body


def test_megabytes_of_stderr_change_nothing(aftermath: Aftermath) -> None:
    """An event whose listener writes megabytes to stderr is delivered at its first attempt."""
    assert aftermath.letter("noisy") is None
    assert [effect.attempt for effect in aftermath.ran("noisy")] == [1]


def test_an_overloaded_app_gets_the_event_again_and_no_attempt_is_spent(aftermath: Aftermath) -> None:
    """The event comes again after the seconds in Retry-After, with the same attempt number."""
    assert [attempt for attempt, _ in aftermath.overloaded] == [1, 1, 1]
    times = [at for _, at in aftermath.overloaded]
    assert all(later - earlier >= 1.0 for earlier, later in pairwise(times))
    assert aftermath.letter("overloaded") is None


def test_only_the_listener_that_failed_is_called_again(aftermath: Aftermath) -> None:
    """A listener that has finished is not called at the second attempt."""
    assert [effect.step for effect in aftermath.ran("two listeners")] == ["first", "second", "second"]


def test_every_event_ended_and_ended_once(aftermath: Aftermath) -> None:
    """Every event is delivered or dead-lettered, and no event is both."""
    dead = {kind for kind in EVENTS if aftermath.letter(kind)}
    delivered = {effect.id for effect in aftermath.effects if not effect.began}
    assert len(aftermath.letters) == len(dead)
    assert not delivered & set(aftermath.letters)
