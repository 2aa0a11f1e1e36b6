"""Pools that others run: PHP-FPM with a PHP receiver, a libfcgi program in C, flup in its own threaded server."""

import asyncio
import hashlib
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bridge.event import Event, event_id
from bridge.settings import load_settings
from tests.journey.php_fpm import PhpFpm, pool_of
from tests.journey.site import Program, Site, eventually

RETRY = "retry = {attempts = 2, initial = '1s', base = 1, jitter = 0}\n"
PATIENT = "retry = {attempts = 10, initial = '1s', base = 1, jitter = 0}\n"
SIZES = (0, 1, 65_528, 65_535, 65_536, 1_048_576, 16 * 1_048_576)
EXAMPLES = Path(__file__).parents[2] / "examples"
EXAMPLE = EXAMPLES / "php"
Pools = Callable[..., PhpFpm]


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Site]:
    """A site on SQLite."""
    site = Site(tmp_path, f"sqlite:///{tmp_path}/bridge.db", "bridge")
    yield site
    site.remove()


@pytest.fixture
def php_fpm() -> Iterator[Pools]:
    """Makes PHP-FPMs for a site, and ends them after the test."""
    made: list[PhpFpm] = []

    def make(site: Site, **options: object) -> PhpFpm:
        made.append(PhpFpm(site, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for fpm in made:
        fpm.end()


def worker(site: Site, *arguments: str) -> Program:
    """A worker on the pool that the site's settings name."""
    return site.run("bridge-worker", *arguments)


async def finished(site: Site, program: Program, count: int) -> None:
    """Wait until so many attempts have gone to their end."""
    await eventually(lambda: len(site.effects(began=False)) >= count, report=lambda: program.log)


def free_port() -> int:
    """A TCP port of this machine that nobody uses."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def defer_data(site: Site, name: str, *bodies: bytes) -> list[str]:
    """Defer events with these data as they are, and return their ids."""
    now = datetime.now(UTC)
    kind = "application/x-www-form-urlencoded"  # which PHP would take apart if it were let
    made = [Event(event_id(now, os.urandom(10)), name, "test", now, kind, body) for body in bodies]
    async with site.broker() as broker:
        publisher = broker.publisher()
        for event in made:
            await publisher.publish(event, None, within=30)
        await publisher.close()
    return [event.id for event in made]


async def test_a_php_receiver_gives_its_verdict(site: Site, php_fpm: Pools) -> None:
    """Each of them is settled as if a Flask app had given it, on both brokers."""
    fpm = php_fpm(site)
    await fpm.start()
    site.configure(RETRY + "deadline = '2s'\n" + pool_of(site, fpm))
    steps = {
        "delivered": ["ok"],
        "recovers": ["fail", "ok"],
        "fails": ["fail"],
        "rejected": ["reject"],
        "own wait": ["retry:1", "ok"],
        "hangs": ["sleep:3", "ok"],
        "killed": ["kill", "ok"],
        "exits": ["exit:3", "ok"],
    }
    ids = {kind: (await site.defer("do.this", *asked))[0] for kind, asked in steps.items()}
    program = worker(site, "--until-settled")
    assert await program.ended(60) == 0, program.log
    letters = {letter.envelope.event.id: letter for letter in await site.letters()}
    assert set(letters) == {ids["fails"], ids["rejected"]}
    failed = letters[ids["fails"]]
    assert [attempt.outcome for attempt in failed.envelope.attempts] == ["Failed", "Failed"]
    assert failed.error is not None and failed.error.type == "RuntimeException"
    assert "behaving.php" in (failed.error.traceback or "")
    for kind in ("recovers", "own wait", "hangs", "killed", "exits"):
        assert {effect.attempt for effect in site.effects(id=ids[kind], began=True)} == {1, 2}, kind
    assert {effect.attempt for effect in site.effects(id=ids["delivered"])} == {1}


async def test_php_gets_every_byte(here: Site, php_fpm: Pools) -> None:
    """Of bodies of all sizes, at the edges of records and far beyond."""
    bodies = [os.urandom(size) for size in SIZES]
    fpm = php_fpm(here, children=2)
    await fpm.start()
    here.configure("max_body = '16MiB'\n" + pool_of(here, fpm, connections=2))
    ids = await defer_data(here, "data.kept", *bodies)
    program = worker(here, "--until-settled")
    assert await program.ended() == 0, program.log
    got = {effect.id: effect.step for effect in here.effects()}
    kind = "application/x-www-form-urlencoded"
    assert got == {id_: f"{hashlib.sha256(body).hexdigest()} {kind}" for id_, body in zip(ids, bodies, strict=True)}
    assert {effect.attempt for effect in here.effects()} == {1}


async def test_the_example_in_php_does_what_its_listeners_say(here: Site, php_fpm: Pools) -> None:
    """Delivered, rejected, retried when it asks for it; and what no listener takes fails."""
    fpm = php_fpm(here)
    await fpm.start()
    assert load_settings(environ={}, file=str(EXAMPLE / "bridge.toml")).values.fastcgi is not None
    here.configure("retry = {attempts = 1}\n" + pool_of(here, fpm, script_filename=EXAMPLE / "shop.php"))
    await defer_data(here, "account.created", b'{"email": "ann@example.org"}', b'{"email": "ann"}', b"no json")
    await here.defer("stock.counted")
    await here.defer("nobody.listens")
    program = worker(here, "--until-settled")
    assert await program.ended() == 0, program.log
    errors = [letter.error for letter in await here.letters()]
    assert "ended: 1 delivered, 0 retries, 4 dead-lettered" in program.log
    assert {error.type: error.message for error in errors if error} == {
        "Bridge\\Reject": "an account without an e-mail address",
        "JsonException": "Syntax error",
        "Bridge\\Retry": "the warehouse is away",
        "LogicException": "no listener for nobody.listens",
    }


async def test_a_request_from_the_web_is_no_event_to_the_receiver(here: Site, php_fpm: Pools) -> None:
    """However it is spelt: a web server passes headers on as HTTP_*."""
    fpm = php_fpm(here)
    await fpm.start()
    forged = {"REQUEST_METHOD": "GET", "SCRIPT_FILENAME": str(EXAMPLE / "shop.php"), "HTTP_BRIDGE_REPLAY": "1"}
    asking = ["cgi-fcgi", "-bind", "-connect", str(fpm.socket)]
    asked = await asyncio.create_subprocess_exec(*asking, env={**os.environ, **forged}, stdout=subprocess.PIPE)
    answer, _ = await asked.communicate()
    assert b"Status: 404 Not Found" in answer


async def test_a_status_is_a_verdict_where_it_is_trusted(here: Site, php_fpm: Pools) -> None:
    """By hand, for a program that knows nothing of the bridge."""
    fpm = php_fpm(here)
    await fpm.start()
    here.configure(RETRY + pool_of(here, fpm, trust="status", params={"VERDICT": "status"}))
    steps = {"200": ["ok"], "404": ["status:404"], "500": ["status:500", "ok"], "uncaught": ["fail", "ok"]}
    ids = {kind: (await here.defer("do.this", *asked))[0] for kind, asked in steps.items()}
    program = worker(here, "--until-settled")
    assert await program.ended() == 0, program.log
    assert [letter.envelope.event.id for letter in await here.letters()] == [ids["404"]]
    assert {effect.attempt for effect in here.effects(id=ids["200"])} == {1}
    for kind in ("500", "uncaught"):
        assert {effect.attempt for effect in here.effects(id=ids[kind])} == {1, 2}


async def test_a_status_alone_proves_nothing_where_it_is_not_trusted(here: Site, php_fpm: Pools) -> None:
    """Without the setting, the very same replies are failures."""
    fpm = php_fpm(here)
    await fpm.start()
    here.configure(RETRY + pool_of(here, fpm, params={"VERDICT": "status"}))
    await here.defer("do.this", "ok")
    program = worker(here, "--until-settled")
    assert await program.ended() == 0, program.log
    (letter,) = await here.letters()
    assert letter.error is not None
    assert "instead of the receiver: status 200" in letter.error.message


async def test_a_pool_that_is_away_keeps_its_events_and_spends_nothing(here: Site, php_fpm: Pools) -> None:
    """At the start of the worker, and later; each time it is said once."""
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
    """What it keeps goes back, and is delivered by the next worker at the first attempt."""
    fpm = php_fpm(here)
    here.configure(pool_of(here, fpm))
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(fpm.socket))
    await here.defer("do.this", "ok", count=10)
    program = worker(here)
    await program.says("takes no requests")
    program.signal(signal.SIGTERM)
    assert await program.ended(within=5) == 0
    await fpm.start()
    program = worker(here, "--until-settled")
    assert await program.ended() == 0, program.log
    assert len(here.effects(attempt=1, began=True)) == 10


async def test_a_pool_that_restarts_under_load_loses_nothing(here: Site, php_fpm: Pools) -> None:
    """What ran is finished, what was not taken is sent again, and nothing runs twice."""
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


async def test_a_pool_that_is_ended_in_mid_request_runs_again_what_ran(here: Site, php_fpm: Pools) -> None:
    """And nothing else: what was sent and never accepted may have cost an attempt, but did not run."""
    fpm = php_fpm(here, children=2)
    await fpm.start()
    here.configure(PATIENT + pool_of(here, fpm, connections=2))
    ids = await here.defer("do.this", "sleep:0.5", "ok", count=6)
    program = worker(here, "--until-settled")
    await eventually(lambda: len(here.effects(began=True)) == 2, report=lambda: program.log)
    cut_off = {effect.id for effect in here.effects()}
    await fpm.stop(signal.SIGTERM)
    await fpm.start()
    assert await program.ended() == 0, program.log
    runs = Counter(effect.id for effect in here.effects(began=True))
    assert runs == {id_: 2 if id_ in cut_off else 1 for id_ in ids}
    assert sorted(effect.id for effect in here.effects(began=False)) == sorted(ids)


@pytest.mark.parametrize("keep", [False, True])
async def test_a_pool_that_recycles_after_each_request_loses_nothing(here: Site, php_fpm: Pools, keep: bool) -> None:
    """Whether or not its connections are kept, nothing runs twice."""
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
    """A process for each connection, and each of them serves one event after the other."""
    fpm = php_fpm(here, children=3)
    await fpm.start()
    here.configure(pool_of(here, fpm, connections=2, keep_connection=True))
    await here.defer("do.this", "ok", count=100)
    program = worker(here, "--until-settled")
    assert await program.ended() == 0, program.log
    assert len(here.effects(attempt=1, began=False)) == 100
    assert len({effect.pid for effect in here.effects()}) == 2


async def test_never_more_connections_than_are_allowed(here: Site, php_fpm: Pools) -> None:
    """A second event waits, though the pool has processes to spare."""
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
    """More connections than it has room for: those that it does not take cost nothing."""
    fpm = php_fpm(here, children=1, listen__backlog=1)
    await fpm.start()
    here.configure("deadline = '30s'\n" + pool_of(here, fpm, connections=8))
    await here.defer("do.this", "sleep:0.05", count=40)
    program = worker(here, "--until-settled")
    assert await program.ended() == 0, program.log
    assert len(here.effects(attempt=1, began=False)) == 40
    assert "backlog is full" in program.log


async def test_what_is_out_of_time_costs_itself_an_attempt(here: Site, php_fpm: Pools) -> None:
    """Its connection is closed, and the others go on."""
    fpm = php_fpm(here)
    await fpm.start()
    here.configure("deadline = '1s'\n" + RETRY + pool_of(here, fpm))
    (slow,) = await here.defer("do.this", "sleep:4")
    others = await here.defer("do.this", "ok", count=20)
    program = worker(here, "--until-settled")
    assert await program.ended() == 0, program.log
    (letter,) = await here.letters()
    assert letter.envelope.event.id == slow
    assert [attempt.outcome for attempt in letter.envelope.attempts] == ["TimedOut", "TimedOut"]
    assert {effect.attempt for effect in here.effects() if effect.id in others} == {1}


async def test_the_addresses_have_their_shares_and_one_that_is_away_is_done_without(here: Site, php_fpm: Pools) -> None:
    """In proportion to their connections; the others take what is left."""
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


async def test_what_runs_is_finished_when_the_worker_is_asked_to_stop(here: Site, php_fpm: Pools) -> None:
    """As with a pool of our own."""
    fpm = php_fpm(here)
    await fpm.start()
    here.configure(pool_of(here, fpm))
    await here.defer("do.this", "sleep:1", count=4)
    program = worker(here)
    await eventually(lambda: len(here.effects(began=True)) == 4, report=lambda: program.log)
    program.signal(signal.SIGTERM)
    assert await program.ended() == 0
    assert len(here.effects(began=False)) == 4


def spawned(site: Site) -> str:
    """Compile the C example, spawn two processes of it, and return their address."""
    program, address = site.directory / "receiver", site.directory / "c.sock"
    source = EXAMPLES / "c" / "receiver.c"
    subprocess.run(["gcc", "-O2", "-o", str(program), str(source), "-lfcgi"], check=True)
    spawning = ["spawn-fcgi", "-s", str(address), "-F", "2", "--", str(program)]
    subprocess.run(spawning, check=True, capture_output=True, env={**os.environ, **site.environment})
    return f"unix:{address}"


async def test_a_c_program_with_libfcgi_is_a_pool(here: Site) -> None:
    """It gets every byte, as the sum shows that it wrote to stderr."""
    address = spawned(here)
    bodies = [os.urandom(size) for size in SIZES]
    here.configure("max_body = '16MiB'\n")
    ids = await defer_data(here, "reject.data", *bodies)
    await here.defer("do.this", count=20)
    program = worker(here, "--fastcgi", address, "--connections", "2", "--until-settled")
    assert await program.ended() == 0, program.log
    assert "20 delivered, 0 retries, 7 dead-lettered" in program.log
    letters = await here.letters()
    said = {letter.envelope.event.id: letter.transcript.error_output for letter in letters if letter.transcript}
    for id_, body in zip(ids, bodies, strict=True):
        assert f"{len(body)} bytes, sum {_sum(body)}, attempt 1" in said[id_]


def _sum(data: bytes) -> int:
    total = 0
    for byte in data:
        total = (total * 31 + byte) & 0xFFFF_FFFF_FFFF_FFFF
    return total


@pytest.mark.parametrize("over", ["unix", "tcp"])
async def test_flups_own_threaded_server_is_a_pool(here: Site, over: str) -> None:
    """The Flask app, in a process that somebody else looks after."""
    path, port = here.directory / "flup.sock", free_port()
    bound, address = (str(path), f"unix:{path}") if over == "unix" else (("127.0.0.1", port), f"127.0.0.1:{port}")
    serving = f"""from flup.server.fcgi import WSGIServer
from behaving import app
WSGIServer(app, bindAddress={bound!r}, debug=False).run()"""
    Program([sys.executable, "-c", serving], here.directory, here.environment)
    await here.defer("do.this", "ok", count=50)
    (failing,) = await here.defer("do.this", "fail", "ok")
    program = worker(here, "--fastcgi", address, "--until-settled")
    assert await program.ended() == 0, program.log
    assert len(here.effects(began=False)) == 51
    assert {effect.attempt for effect in here.effects(id=failing)} == {1, 2}
    assert len({effect.pid for effect in here.effects()}) == 1


async def test_a_signal_to_reload_does_not_end_the_worker(here: Site) -> None:
    """There is nothing of ours to reload."""
    program = here.run("bridge-worker", "--fastcgi", f"unix:{here.directory}/s", FLASK_APP="behaving:app")
    await program.says("ready for events")
    program.signal(signal.SIGHUP)
    await program.says("that is for who runs the pool")
    program.signal(signal.SIGTERM)
    assert await program.ended() == 0


async def test_either_an_app_or_a_pool(here: Site) -> None:
    """Neither, or both, is a mistake of whoever typed it."""
    for arguments, said in (((), "expected APP"), (("behaving:app", "--fastcgi", "h:1"), "expected one of them")):
        program = worker(here, *arguments)
        assert await program.ended() == 2
        assert said in program.log


async def test_an_address_that_is_none_is_said(here: Site) -> None:
    """With what was expected, and where it came from."""
    program = worker(here, "--fastcgi", "run/shop.sock")
    assert await program.ended() == 2
    assert "(from command line): expected 'unix:/absolute/path' or 'host:port'" in program.log
