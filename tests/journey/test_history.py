"""The history: what workers record of events, and what `bridge-events` tells of it, on both brokers."""

import json
import socket
from signal import SIGCONT, SIGSTOP
from typing import Any

from tests.events import new_event
from tests.journey.site import Program, Site, eventually


async def ended(program: Program) -> str:
    """Wait until a program has ended well; return its output."""
    assert await program.ended() == 0, program.log
    return program.log


async def listed(site: Site, *arguments: str) -> list[dict[str, Any]]:
    """Return what `bridge-events list` prints with these arguments."""
    lines = await ended(site.run("bridge-events", "list", "--json", *arguments))
    return [json.loads(line) for line in lines.splitlines()]


async def test_the_history_of_events(site: Site) -> None:
    """Each attempt is listed with its end: a retry with the time of the next attempt, a dead letter with its reason."""
    site.configure("retry = {attempts = 2, initial = '1s', base = 1, jitter = 0}\nrelease = 'v7'\n")
    (good,) = await site.defer("do.good", "ok")
    (retried,) = await site.defer("do.retried", "fail", "ok")
    (dead,) = await site.defer("do.dead", "reject")
    worker = site.worker("--until-settled")
    await ended(worker)

    found = await listed(site)

    assert sorted((line["id"], line["attempt"], line["end"]) for line in found) == sorted(
        [(good, 1, "delivered"), (retried, 1, "retried"), (retried, 2, "delivered"), (dead, 1, "dead")]
    )
    by_end = {(line["id"], line["end"]): line for line in found}
    assert by_end[retried, "retried"]["due"] > by_end[retried, "retried"]["time"]
    assert by_end[retried, "retried"]["error"]["type"] == "ConnectionError"
    assert by_end[dead, "dead"]["reason"] == "rejected"
    line = by_end[good, "delivered"]
    assert (line["name"], line["queue"], line["release"]) == ("do.good", "default", "v7")
    assert line["worker"]["pid"] == worker.process.pid
    assert line["child"] in {effect.pid for effect in site.effects(id=good)}

    assert [line["id"] for line in await listed(site, "--last", "1")] == [found[-1]["id"]]
    assert [line["id"] for line in await listed(site, "--outcome", "dead")] == [dead]
    assert [line["id"] for line in await listed(site, "--name", "do.*", "--outcome", "retried")] == [retried]
    assert await listed(site, "--until", "1h") == []


async def story(site: Site, *arguments: str) -> dict[str, Any]:
    """Return what `bridge-events show` prints of one event."""
    found: dict[str, Any] = json.loads(await ended(site.run("bridge-events", "show", "--json", *arguments)))
    return found


async def story_of_running(site: Site, event: str, worker: Program) -> dict[str, Any]:
    """Return the story of an event that runs. A worker that has no CPU does not answer in time, and the story says so;
    it is asked again."""
    silent = f"Worker {socket.gethostname()}:{worker.process.pid} does not answer"
    while not (found := await story(site, event))["now"]:
        assert any(silent in sentence for sentence in found["unknown"]), found
    return found


async def test_the_story_of_an_event(site: Site) -> None:
    """An event that died, was redriven and died again has one line of time, from the history and the ledger. A running
    event is found in its worker, a waiting one by its id alone, and others not at all."""
    (event,) = await site.defer("do.this", "reject")
    worker = site.worker()
    await eventually(lambda: len(site.effects(id=event)) == 1, report=lambda: worker.log)
    await site.letters_at_least(1)
    assert "waits for a decision" in (await story(site, event))["now"][0]
    await ended(site.run("bridge-dlq", "redrive", "--all", "--yes", "--reason", "mended"))
    await eventually(lambda: len(site.effects(id=event)) == 2, report=lambda: worker.log)

    found = await story(site, event[-8:])
    while len(found["attempts"]) < 2:  # the history is written soon after
        found = await story(site, event[-8:])
    assert found["id"] == event
    assert [fact["source"] for fact in found["facts"]] == ["id", "ledger", "history", "ledger", "ledger", "history"]
    texts = [fact["text"] for fact in found["facts"]]
    assert texts[0] == "deferred"
    assert texts[2].startswith("dead in queue default: attempt 1 ")
    assert "redriven by" in texts[3]
    assert texts[3].endswith(": mended")
    assert "waits for a decision" in found["now"][0]
    shown = await ended(site.run("bridge-events", "show", event))
    assert len([line for line in shown.splitlines() if "dead in queue default" in line]) == 2

    (running,) = await site.defer("do.long", "sleep:3600")
    await eventually(lambda: bool(site.effects(id=running)), report=lambda: worker.log)
    found = await story_of_running(site, running, worker)
    assert f"it runs in worker {socket.gethostname()}:{worker.process.pid}, child" in found["now"][0]

    waiting = new_event("do.later", b"").id
    assert "leaves no trace" in (await story(site, waiting))["unknown"][-1]
    await ended(site.run("bridge-events", "cancel", waiting, "--why", "withdrawn"))
    fact = (await story(site, waiting[-8:]))["facts"][-1]
    assert (fact["source"], fact["text"].rpartition(": ")[2]) == ("controls", "withdrawn")
    nothing = site.run("bridge-events", "show", "ffffffff")
    assert await nothing.ended() == 1
    assert "nothing is known of an event with the id 'ffffffff'" in nothing.log


async def test_a_worker_that_does_not_answer(site: Site) -> None:
    """The story names it, since the event may run there; it goes on with the worker's answer."""
    worker = site.worker()
    (running,) = await site.defer("do.long", "sleep:3600")
    await eventually(lambda: bool(site.effects(id=running)), report=lambda: worker.log)
    await story_of_running(site, running, worker)

    worker.signal(SIGSTOP)
    found = await story(site, running)
    worker.signal(SIGCONT)

    assert found["now"] == []
    name = f"{socket.gethostname()}:{worker.process.pid}"
    assert f"Worker {name} does not answer: whether the event runs there is not known." in found["unknown"]
    await story_of_running(site, running, worker)


async def test_events_are_watched_to_their_end(site: Site) -> None:
    """A watch that began before the first attempt ends with 0 when the event is delivered in all its queues, and with 1
    when it dies; without `--exit-status` with 0 in both cases. At its timeout it ends with 1."""
    site.configure(
        "retry = {attempts = 2, initial = '1s', base = 1, jitter = 0}\n"
        "[queues.one]\npatterns = ['do.#']\n[queues.two]\npatterns = ['do.#']\n[queues.default]\n"
    )
    (good,) = await site.defer("do.good", "fail", "ok")
    (bad,) = await site.defer("do.bad", "reject")
    watched = {event: site.run("bridge-events", "watch", event[-12:], "--exit-status") for event in (good, bad)}
    never = site.run("bridge-events", "watch", "ffffffff", "--timeout", "1s")
    assert await never.ended() == 1
    assert "an event with the id 'ffffffff' has not ended within 1 s" in never.log
    worker = site.worker("--until-settled")
    assert await watched[good].ended() == 0, watched[good].log
    assert await watched[bad].ended() == 1, watched[bad].log
    await ended(worker)

    assert watched[good].log.count("delivered in queue") == 2
    assert watched[bad].log.count("dead in queue") == 2
    lines = await ended(site.run("bridge-events", "watch", bad, "--json"))
    assert [json.loads(line)["end"] for line in lines.splitlines()] == ["dead", "dead"]


async def test_the_progress_of_a_running_event(site: Site) -> None:
    """A watch shows it until the event ends, and the story of the event has the newest one."""
    site.configure("deadline = '10m'\n")
    (event,) = await site.defer("work.long", "1s", "go on")
    watch = site.run("bridge-events", "watch", event)
    worker = site.worker(app="telling:app", own_boot=True)

    await watch.says(": 3 of 10, resizing")
    found = await story_of_running(site, event, worker)
    assert found["now"][0].endswith(": 3 of 10, resizing")
    assert found["progress"] == [{"queue": "default", "attempt": 1, "done": 3, "total": 10, "note": "resizing"}], (
        worker.log
    )
    (site.directory / "go on").touch()

    assert await watch.ended() == 0, watch.log
    first, *_, last = watch.log.splitlines()
    assert f"work.long  runs in queue default: attempt 1 in {socket.gethostname()}:{worker.process.pid}: 3 of" in first
    assert "delivered in queue default" in last
