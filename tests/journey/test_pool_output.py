"""What a child prints: in the log, line by line, with the event that it ran; and in the transcript of that attempt."""

import json
import signal

import pytest

from tests.journey.pool_site import PoolSite, error_output
from tests.journey.site import eventually

pytestmark = [
    pytest.mark.parametrize("site", ["sqlite"], indirect=True),
    pytest.mark.parametrize("options", [(), ("--preload",)], ids=["own boot", "preload"]),
]


async def test_each_line_is_logged_with_its_event(pool: PoolSite, options: tuple[str, ...]) -> None:
    """Whichever of stdout and stderr it went to, and whatever else runs."""
    ids = {text: (await pool.site.defer("do.this", f"say:{text}"))[0] for text in ("one", "two", "three", "four")}
    worker = pool.worker("--until-empty", "--log-format", "json", *options)
    assert await worker.ended() == 0, worker.log
    lines = [json.loads(line) for line in worker.log.splitlines()]
    told = {line["message"]: line for line in lines if "child" in line}
    for text, id_ in ids.items():
        (ran,) = pool.site.effects(id=id_, began=True)
        for message in (text, f"to stderr: {text}"):
            assert (told[message]["id"], told[message]["event"]) == (id_, "do.this")
            assert told[message]["child"] == ran.pid


async def test_the_transcript_has_what_was_printed_in_that_attempt(pool: PoolSite, options: tuple[str, ...]) -> None:
    """And nothing of what was printed in the attempts before, or by others; a line without an end too."""
    pool.site.configure("retry = {attempts = 2, initial = '500ms', base = 1, jitter = 0}\n")
    await pool.site.defer("do.this", "say:by another")
    await pool.site.defer("do.this", "shout:at first", "shout:at last")
    worker = pool.worker("--until-settled", "--children", "1", *options)
    assert await worker.ended() == 0, worker.log
    (letter,) = await pool.site.letters()
    told = error_output(letter)
    assert "at last\nto stderr: at last\n" in told
    assert "at first" not in told
    assert "by another" not in told
    assert "no end of line" in told
    assert "at first" in worker.log


async def test_what_was_printed_before_a_crash_is_kept(pool: PoolSite, options: tuple[str, ...]) -> None:
    """It may be the only word that there is."""
    pool.site.configure("deadline = '1s'\nretry = {attempts = 1}\n")
    await pool.site.defer("do.this", "say_and_die")
    worker = pool.worker("--until-settled", *options)
    assert await worker.ended() == 0, worker.log
    (letter,) = await pool.site.letters()
    assert "exit status 9" in letter.error.message
    assert "my last words" in error_output(letter)


async def test_a_flood_is_cut_in_the_transcript(pool: PoolSite, options: tuple[str, ...]) -> None:
    """Its beginning and its end are kept, and how much is missing."""
    pool.site.configure("retry = {attempts = 1}\n")
    await pool.site.defer("do.this", "flood:20000")
    worker = pool.worker("--until-settled", *options)
    assert await worker.ended() == 0, worker.log
    (letter,) = await pool.site.letters()
    told = error_output(letter)
    assert "line 0\n" in told
    assert "line 19999\n" in told
    assert "bytes cut" in told
    assert len(told) < 40_000


async def test_what_a_child_prints_while_it_boots_is_logged(pool: PoolSite, options: tuple[str, ...]) -> None:
    """There is no event yet."""
    pool.put("greeting", "good morning")
    worker = pool.worker("--log-format", "json", *options)
    await worker.says("ready for events")
    greetings = [line for line in map(json.loads, worker.log.splitlines()) if line["message"] == "good morning"]
    assert greetings
    assert not any("id" in line for line in greetings)
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0
    await eventually(lambda: not pool.site.processes)
