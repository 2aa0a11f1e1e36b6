"""`bridge-bench` with the real programs: it measures the app, and leaves nothing."""

import json
import re
import signal
from pathlib import Path

from bridge.brokers.opening import open_broker
from bridge.errors import BrokerRefused
from bridge.queues import Queue
from tests.journey.site import Program, Site
from tests.limits import LONG

FEW = ("--events", "400", "--children", "1")


async def test_it_measures_and_leaves_nothing(site: Site) -> None:
    """Figures of a whole run, and no listener of the app is called. Nothing is left on the broker, or on the disk."""
    bench = site.run("bridge-bench", "behaving:app", "--json", "--events", "1000", "--children", "1")

    assert await bench.ended(LONG) == 0, bench.log
    document = json.loads(bench.log[bench.log.index("{") : bench.log.rindex("}") + 1])
    assert 0 < document["events"] <= 900  # the clock starts after a tenth, or a little later
    assert (document["failed"], document["children"]) == (0, 1)
    figures = (document["events_per_second"], document["publish"]["per_second"], *document["cpu_microseconds"].values())
    assert all(figure > 0 for figure in figures[:4])
    assert 0 < document["latency"]["milliseconds"]["p50"] <= document["latency"]["milliseconds"]["p99"]
    assert site.effects() == []
    await _nothing_is_left(site, bench)


async def test_the_apps_own_listeners_run_once_for_each_event(here: Site) -> None:
    """With --event and --payload. An attempt that fails is not repeated, and the exit code is 1."""
    bench = here.run(
        *("bridge-bench", "behaving:app", "--event", "do.this", "--payload", '{"do": [["raise", "ok"]]}'), *FEW
    )

    assert await bench.ended(LONG) == 1, bench.log
    assert "attempts FAILED" in bench.log
    runs = here.effects(began=True)
    assert len(runs) == len({run.id for run in runs})
    assert len(runs) >= 400


async def test_sigterm_ends_it_and_leaves_nothing(site: Site) -> None:
    """While events are published. The exit code is that of the signal."""
    bench = site.run("bridge-bench", "behaving:app", "--events", "100000", "--children", "1")
    await bench.says("publishing")

    bench.signal(signal.SIGTERM)

    assert await bench.ended(LONG) == 143, bench.log
    await _nothing_is_left(site, bench)


async def test_an_app_that_cannot_boot_exits_with_4(here: Site) -> None:
    """The message is that of the worker."""
    bench = here.run("bridge-bench", "no_such_app:app", *FEW)

    assert await bench.ended() == 4, bench.log
    assert "Could not import 'no_such_app'" in bench.log
    assert _made(here) == []


async def test_a_setting_that_permits_no_benchmark_is_named(here: Site) -> None:
    """Nothing is published, and the exit code is that of settings."""
    environment = {"BRIDGE_DECLARE": "false", "BRIDGE_BROKER_URL": "amqp://127.0.0.1:1/"}
    bench = here.run("bridge-bench", "behaving:app", *FEW, **environment)

    assert await bench.ended() == 2, bench.log
    assert "declare = " in bench.log
    assert "publishing" not in bench.log


async def _nothing_is_left(site: Site, bench: Program) -> None:
    assert _made(site) == []
    namespace = re.search(r"namespace '([\w-]+-bench-[0-9a-f]+)'", bench.log)
    if not site.broker_url.startswith("amqp"):
        assert namespace is None
        return
    assert namespace is not None
    broker = open_broker(site.broker_url, namespace[1], declare=False)
    try:
        await broker.declare([Queue("default")])
    except BrokerRefused as refused:
        assert "has no exchange" in str(refused)
    else:
        raise AssertionError(f"the objects of {namespace[1]} are still there")
    finally:
        await broker.close()


def _made(site: Site) -> list[Path]:
    """Return what a benchmark has made in the site's directory, where the file of its broker is."""
    return list(site.directory.glob("bridge-bench-*/"))
