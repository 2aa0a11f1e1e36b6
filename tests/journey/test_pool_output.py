"""The output of children is in the worker's log, with the event of each line, and in the transcript of the attempt."""

import json
import signal

import pytest

from tests.journey.pool_site import PoolSite, error_output
from tests.journey.site import eventually

pytestmark = pytest.mark.parametrize("site", ["sqlite"], indirect=True)

EITHER = pytest.mark.parametrize("options", [(), ("--preload",)], ids=["own boot", "preload"])
"""How a child gets its output's descriptor. What becomes of the lines is the worker's part, the same for both."""


@EITHER
async def test_each_line_is_logged_with_its_event(pool: PoolSite, options: tuple[str, ...]) -> None:
    """A line on stdout or stderr is a record with the event and the child, also while other events run."""
    ids = {text: (await pool.site.defer("do.this", f"say:{text}"))[0] for text in ("one", "two", "three", "four")}
    worker = pool.worker("--until-empty", "--log-format", "json", *options)
    assert await worker.ended() == 0, worker.log
    lines = [json.loads(line) for line in worker.log.splitlines()]
    printed = {line["message"]: line for line in lines if "child" in line}
    for text, id_ in ids.items():
        (ran,) = pool.site.effects(id=id_, began=True)
        for message in (text, f"to stderr: {text}"):
            assert (printed[message]["id"], printed[message]["event"]) == (id_, "do.this")
            assert printed[message]["child"] == ran.pid


async def test_the_transcript_has_the_output_of_its_attempt(pool: PoolSite) -> None:
    """The transcript has the output of its attempt, also a line without an end, but not that of other attempts and
    events."""
    pool.site.configure("retry = {attempts = 2, initial = '500ms', base = 1, jitter = 0}\n")
    await pool.site.defer("do.this", "say:by another")
    await pool.site.defer("do.this", "shout:at first", "shout:at last")
    worker = pool.worker("--until-settled", "--children", "1", "--preload")
    assert await worker.ended() == 0, worker.log
    (letter,) = await pool.site.letters()
    output = error_output(letter)
    assert "at last\nto stderr: at last\n" in output
    assert "at first" not in output
    assert "by another" not in output
    assert "no end of line" in output
    assert "at first" in worker.log


async def test_output_before_a_crash_is_kept(pool: PoolSite) -> None:
    """The transcript has the output of a child that exited during the attempt."""
    pool.site.configure("retry = {attempts = 1}\n")
    await pool.site.defer("do.this", "say_and_die")
    worker = pool.worker("--until-settled", "--preload")
    assert await worker.ended() == 0, worker.log
    (letter,) = await pool.site.letters()
    assert letter.error.message.startswith("the process ended with exit status 9; ")
    assert "my last words" in error_output(letter)


async def test_a_flood_is_cut_in_the_transcript(pool: PoolSite) -> None:
    """The transcript has the beginning and the end of a large output, and the number of bytes between them."""
    pool.site.configure("retry = {attempts = 1}\n")
    await pool.site.defer("do.this", "flood:20000")
    worker = pool.worker("--until-settled", "--preload")
    assert await worker.ended() == 0, worker.log
    (letter,) = await pool.site.letters()
    output = error_output(letter)
    assert "line 0\n" in output
    assert "line 19999\n" in output
    assert "bytes cut" in output
    assert len(output) < 40_000


async def test_output_of_a_boot_is_logged(pool: PoolSite) -> None:
    """The output of a child that boots is logged, without an event."""
    pool.put("greeting", "good morning")
    worker = pool.worker("--log-format", "json")
    await worker.says("ready for events")
    greetings = [line for line in map(json.loads, worker.log.splitlines()) if line["message"] == "good morning"]
    assert greetings
    assert not any("id" in line for line in greetings)
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0
    await eventually(lambda: not pool.site.processes)
