"""PHP-FPM with a PHP receiver: settlements of its verdicts, statuses and failures, and the bytes that it receives."""

import asyncio
import hashlib
import os
import subprocess
from pathlib import Path

from bridge.config.settings import load_settings
from tests.journey.foreign_pools import RETRY, SIZES, defer_data, worker
from tests.journey.php_fpm import Pools, pool_of
from tests.journey.site import Site

EXAMPLE = Path(__file__).parents[2] / "examples" / "php"


async def test_the_verdicts_of_a_php_receiver(site: Site, php_fpm: Pools) -> None:
    """Each verdict leads to the same settlement as that of a Flask app, on both brokers."""
    fpm = php_fpm(site)
    await fpm.start()
    site.configure(RETRY + "deadline = '5s'\n" + pool_of(site, fpm))
    steps = {
        "delivered": ["ok"],
        "recovers": ["fail", "ok"],
        "fails": ["fail"],
        "rejected": ["reject"],
        "own wait": ["retry:1", "ok"],
        "snoozes once": ["snooze:0.1"],
        "hangs": ["sleep:20", "ok"],
        "killed": ["kill", "ok"],
        "exits": ["exit:3", "ok"],
    }
    ids = {kind: (await site.defer("do.this", *of_kind))[0] for kind, of_kind in steps.items()}
    program = worker(site, "--until-settled")
    assert await program.ended() == 0, program.log
    letters = {letter.envelope.event.id: letter for letter in await site.letters()}
    assert set(letters) == {ids["fails"], ids["rejected"]}
    failed = letters[ids["fails"]]
    assert [attempt.outcome for attempt in failed.envelope.attempts] == ["Failed", "Failed"]
    assert failed.error is not None and failed.error.type == "RuntimeException"
    assert "behaving.php" in (failed.error.traceback or "")
    for kind in ("recovers", "own wait", "hangs", "killed", "exits"):
        assert {effect.attempt for effect in site.effects(id=ids[kind], began=True)} == {1, 2}, kind
    assert {effect.attempt for effect in site.effects(id=ids["delivered"])} == {1}
    assert [effect.attempt for effect in site.effects(id=ids["snoozes once"], began=True)] == [1, 1]


async def test_php_gets_every_byte(here: Site, php_fpm: Pools) -> None:
    """PHP receives bodies of all sizes unchanged, also at and above the largest FastCGI record."""
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
    """The example delivers, rejects and retries; an event without a listener fails."""
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
    """The receiver replies 404 to a request with a replay header, which a web server passes on as HTTP_*."""
    fpm = php_fpm(here)
    await fpm.start()
    forged = {"REQUEST_METHOD": "GET", "SCRIPT_FILENAME": str(EXAMPLE / "shop.php"), "HTTP_BRIDGE_REPLAY": "1"}
    asking = ["cgi-fcgi", "-bind", "-connect", str(fpm.socket)]
    asked = await asyncio.create_subprocess_exec(*asking, env={**os.environ, **forged}, stdout=subprocess.PIPE)
    answer, _ = await asked.communicate()
    assert b"Status: 404 Not Found" in answer


async def test_a_status_is_a_verdict_if_it_is_trusted(here: Site, php_fpm: Pools) -> None:
    """With `trust = "status"`, the HTTP status of a program that does not know the bridge decides."""
    fpm = php_fpm(here)
    await fpm.start()
    here.configure(RETRY + pool_of(here, fpm, trust="status", params={"VERDICT": "status"}))
    steps = {"200": ["ok"], "404": ["status:404"], "500": ["status:500", "ok"], "uncaught": ["fail", "ok"]}
    ids = {kind: (await here.defer("do.this", *of_kind))[0] for kind, of_kind in steps.items()}
    program = worker(here, "--until-settled")
    assert await program.ended() == 0, program.log
    assert [letter.envelope.event.id for letter in await here.letters()] == [ids["404"]]
    assert {effect.attempt for effect in here.effects(id=ids["200"])} == {1}
    for kind in ("500", "uncaught"):
        assert {effect.attempt for effect in here.effects(id=ids[kind])} == {1, 2}


async def test_a_status_alone_is_a_failure_by_default(here: Site, php_fpm: Pools) -> None:
    """Without `trust = "status"`, a reply with status 200 and no verdict is a failure."""
    fpm = php_fpm(here)
    await fpm.start()
    here.configure(RETRY + pool_of(here, fpm, params={"VERDICT": "status"}))
    await here.defer("do.this", "ok")
    program = worker(here, "--until-settled")
    assert await program.ended() == 0, program.log
    (letter,) = await here.letters()
    assert letter.error is not None
    assert "instead of the receiver: status 200" in letter.error.message
