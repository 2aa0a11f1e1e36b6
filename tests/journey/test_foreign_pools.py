"""A worker on a foreign pool, here PHP-FPM, that cannot be reached, restarts, is full or slow."""

import signal
import socket
from collections import Counter

import pytest

from tests.journey.foreign_pools import PATIENT, RETRY, finished, worker
from tests.journey.php_fpm import Pools, pool_of
from tests.journey.site import Site, eventually


async def test_a_pool_that_is_away_costs_no_attempt(here: Site, php_fpm: Pools) -> None:
    """Events wait for a pool that cannot be reached, at the worker's start and later; each outage is logged once."""
    fpm = php_fpm(here, children=2)
    here.configure(pool_of(here, fpm, connections=2))
    await here.defer("do.this", "ok", count=10)
    program = worker(here)
    await program.says("takes no requests")
    await fpm.start()
    await finished(here, program, 10)
    await fpm.stop()
    await here.defer("do.this", "ok", count=10)
    await eventually(lambda: program.log.count("takes no requests") == 2, report=lambda: program.log)
    await fpm.start()
    await finished(here, program, 20)
    program.signal(signal.SIGTERM)
    assert await program.ended() == 0
    assert {effect.attempt for effect in here.effects()} == {1}
    assert len(here.effects(began=True)) == 20
    assert program.log.count("takes no requests") == program.log.count("takes requests again") == 2, program.log


async def test_a_worker_whose_pool_is_away_stops_at_once(here: Site, php_fpm: Pools) -> None:
    """The events return to their queue, and the next worker delivers them at their first attempt."""
    fpm = php_fpm(here)
    here.configure(pool_of(here, fpm))
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(fpm.socket))
    await here.defer("do.this", "ok", count=10)
    program = worker(here, "--grace", "1h")
    await program.says("takes no requests")
    program.signal(signal.SIGTERM)
    assert await program.ended() == 0
    await fpm.start()
    program = worker(here, "--until-settled")
    assert await program.ended() == 0, program.log
    assert len(here.effects(attempt=1, began=True)) == 10


async def test_a_pool_that_restarts_under_load_loses_nothing(here: Site, php_fpm: Pools) -> None:
    """Running events finish, events that the pool did not accept are sent again, and no event runs twice."""
    fpm = php_fpm(here)
    await fpm.start()
    here.configure(PATIENT + pool_of(here, fpm))
    ids = await here.defer("do.this", "sleep:0.02", count=200)
    program = worker(here, "--until-settled")
    for enough in (40, 100):
        await finished(here, program, enough)
        await fpm.stop()
        await fpm.start()
    assert await program.ended() == 0, program.log
    assert await here.letters() == []
    assert sorted(effect.id for effect in here.effects(began=False)) == sorted(ids)


async def test_a_pool_that_is_ended_in_mid_request_repeats_only_what_ran(here: Site, php_fpm: Pools) -> None:
    """Only the interrupted events run again. An event that was sent but never accepted may have lost an attempt, but
    did not run."""
    fpm = php_fpm(here, children=2)
    await fpm.start()
    here.configure("deadline = '1h'\n" + PATIENT + pool_of(here, fpm, connections=2))
    ids = await here.defer("do.this", "sleep:3600", "ok", count=2)
    ids += await here.defer("do.this", "ok", count=4)
    program = worker(here, "--until-settled")
    await eventually(lambda: len(here.effects(began=True)) == 2, report=lambda: program.log)
    cut_off = ids[:2]
    await fpm.stop(signal.SIGTERM)
    await fpm.start()
    assert await program.ended() == 0, program.log
    runs = Counter(effect.id for effect in here.effects(began=True))
    assert runs == {id_: 2 if id_ in cut_off else 1 for id_ in ids}
    assert sorted(effect.id for effect in here.effects(began=False)) == sorted(ids)


@pytest.mark.parametrize("keep", [False, True])
async def test_a_pool_that_recycles_after_each_request_loses_nothing(here: Site, php_fpm: Pools, keep: bool) -> None:
    """No event runs twice, with kept connections and without."""
    fpm = php_fpm(here, pm__max_requests=1)
    await fpm.start()
    here.configure(PATIENT + pool_of(here, fpm, keep_connection=keep))
    ids = await here.defer("do.this", "ok", count=60)
    program = worker(here, "--until-settled")
    assert await program.ended() == 0, program.log
    assert await here.letters() == []
    assert sorted(effect.id for effect in here.effects(began=False)) == sorted(ids)
    assert len({effect.pid for effect in here.effects()}) == 60
    if not keep:
        assert {effect.attempt for effect in here.effects()} == {1}


async def test_kept_connections_serve_many_events(here: Site, php_fpm: Pools) -> None:
    """Each connection is to one process, which serves one event after the other."""
    fpm = php_fpm(here, children=3)
    await fpm.start()
    here.configure(pool_of(here, fpm, connections=2, keep_connection=True))
    await here.defer("do.this", "ok", count=100)
    program = worker(here, "--until-settled")
    assert await program.ended() == 0, program.log
    assert len(here.effects(attempt=1, began=False)) == 100
    assert len({effect.pid for effect in here.effects()}) == 2


async def test_never_more_connections_than_are_allowed(here: Site, php_fpm: Pools) -> None:
    """At most two events run with two connections, although the pool has more processes."""
    fpm = php_fpm(here, children=4)
    await fpm.start()
    here.configure(pool_of(here, fpm, connections=2))
    await here.defer("do.this", "sleep:0.05", count=20)
    program = worker(here, "--until-settled")
    assert await program.ended() == 0, program.log
    running = most = 0
    for effect in here.effects():
        running += 1 if effect.began else -1
        most = max(most, running)
    assert most == 2


async def test_a_full_pool_is_waited_for(here: Site, php_fpm: Pools) -> None:
    """With more connections than the pool accepts, a refused connection costs no attempt."""
    fpm = php_fpm(here, children=1, listen__backlog=1)
    await fpm.start()
    here.configure("deadline = '10m'\n" + pool_of(here, fpm, connections=8))
    await here.defer("do.this", "sleep:0.05", count=40)
    program = worker(here, "--until-settled")
    assert await program.ended() == 0, program.log
    assert len(here.effects(attempt=1, began=False)) == 40
    assert "backlog is full" in program.log


async def test_an_event_beyond_its_deadline_loses_an_attempt(here: Site, php_fpm: Pools) -> None:
    """The connection of the slow event is closed; the other events succeed at their first attempt."""
    fpm = php_fpm(here)
    await fpm.start()
    slow_queue = "[queues.slow]\npatterns = ['do.slow']\ndeadline = '1s'\n[queues.default]\n"
    here.configure(RETRY + pool_of(here, fpm) + slow_queue)
    (slow,) = await here.defer("do.slow", "sleep:15")
    others = await here.defer("do.this", "ok", count=20)
    program = worker(here, "--until-settled")
    assert await program.ended() == 0, program.log
    (letter,) = await here.letters()
    assert letter.envelope.event.id == slow
    assert [attempt.outcome for attempt in letter.envelope.attempts] == ["TimedOut", "TimedOut"]
    assert {effect.attempt for effect in here.effects() if effect.id in others} == {1}


async def test_several_addresses_share_the_events_without_one_that_is_away(here: Site, php_fpm: Pools) -> None:
    """The addresses get events in proportion to their connections; those that can be reached get all of them."""
    first, second, away = (php_fpm(here, name=name) for name in ("first", "second", "away"))
    await first.start()
    await second.start()
    here.configure(pool_of(here, first, second, away))
    await here.defer("do.this", "ok", count=120)
    program = worker(here, "--until-settled")
    assert await program.ended() == 0, program.log
    assert len(here.effects(attempt=1, began=False)) == 120
    of_first = first.processes
    assert 40 <= sum(effect.pid in of_first for effect in here.effects(began=False)) <= 80
    assert program.log.count("takes no requests") == 1


async def test_sigterm_lets_running_events_finish(here: Site, php_fpm: Pools) -> None:
    """SIGTERM lets events in a foreign pool finish, as in a pool of our own."""
    fpm = php_fpm(here)
    await fpm.start()
    here.configure(pool_of(here, fpm))
    await here.defer("do.this", "sleep:1", count=4)
    program = worker(here)
    await eventually(lambda: len(here.effects(began=True)) == 4, report=lambda: program.log)
    program.signal(signal.SIGTERM)
    assert await program.ended() == 0
    assert len(here.effects(began=False)) == 4


async def test_a_signal_to_reload_does_not_end_the_worker(here: Site) -> None:
    """SIGHUP is logged and ignored, since the worker has no children of its own."""
    program = here.run("bridge-worker", "--fastcgi", f"unix:{here.directory}/s", FLASK_APP="behaving:app")
    await program.says("ready for events")
    program.signal(signal.SIGHUP)
    await program.says("this worker does not run the pool")
    program.signal(signal.SIGTERM)
    assert await program.ended() == 0


async def test_either_an_app_or_a_pool(here: Site) -> None:
    """A command line with neither an app nor a pool, or with both, is an error."""
    for arguments, said in (
        ((), "expected APP"),
        (("behaving:app", "--fastcgi", "h:1"), "expected either APP or --fastcgi, got both"),
    ):
        program = worker(here, *arguments)
        assert await program.ended() == 2
        assert said in program.log


async def test_an_invalid_address_is_an_error(here: Site) -> None:
    """The error has the expected forms and the source of the value."""
    program = worker(here, "--fastcgi", "run/shop.sock")
    assert await program.ended() == 2
    assert "(from command line): expected 'unix:/absolute/path' or 'host:port'" in program.log
