"""Measures this project, Celery, Dramatiq and Huey: `python -m benchmarks.run [--only NAME]… [--events N]`.

The contenders are measured one after the other, each on its own virtual host of one private RabbitMQ node, or on its
own SQLite file; then the parts of `benchmarks.further` follow. A run of all parts writes `benchmarks/RESULTS.md` after
each part. A part that fails is listed there, and the others continue. The exit code is 1 if a part has failed.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from benchmarks import further, machine, records
from benchmarks.contender import URL, Contender
from benchmarks.contenders import NAMES, contender
from benchmarks.gathering import Gathering
from benchmarks.measure import SINGLE_SENDS
from benchmarks.report import Table
from benchmarks.results import Result, from_json
from tests.rabbitmq_node import RabbitNode

EVENTS = 20_000
RESULTS = Path(__file__).with_name("RESULTS.md")
ROOT = Path(__file__).parents[1]


def main() -> int:
    """Run the benchmark, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.run", description="Measures this project and its peers."
    )
    everything = (*NAMES, *further.NAMES)
    named = f"measure only this part (may be repeated): {', '.join(everything)}"
    parser.add_argument("--only", action="append", choices=everything, metavar="NAME", help=named)
    parser.add_argument("--events", type=int, default=EVENTS, help=f"number of events to drain (default {EVENTS:,})")
    arguments = parser.parse_args()
    if arguments.events < 2 * SINGLE_SENDS:
        parser.error(f"--events {arguments.events}: expected at least {2 * SINGLE_SENDS}")
    chosen: Sequence[str] = arguments.only or everything
    file = RESULTS if set(chosen) == set(everything) else None
    with tempfile.TemporaryDirectory(prefix="bridge-bench-") as directory:
        gathering = _gathered(chosen, file, arguments.events, Path(directory))
    if file is not None:
        print(f"\nwritten to {file.relative_to(ROOT)}")
    for name, why in gathering.failures.items():
        print(f"failed: {name}: {why}", file=sys.stderr)
    return 1 if gathering.failures else 0


def _gathered(chosen: Sequence[str], file: Path | None, events: int, directory: Path) -> Gathering:
    contenders = [name for name in NAMES if name in chosen]
    gathering = Gathering(file, events, dict(machine.described()))
    with ExitStack() as stack:
        node = gathering.attempt("RabbitMQ", lambda: stack.enter_context(RabbitNode())) if contenders else None
        if node is not None:
            version = node.eval("rabbit_misc:version().").strip('"')
            gathering.machine["RabbitMQ"] = f"{version}, one private node on the same machine"
        for name in contenders:
            gathering.add_contender(name, partial(_contended, name, events, node, directory))
    for name in (name for name in further.NAMES if name in chosen):
        gathering.add_section(name, partial(_further, name, directory / name))
    return gathering


def _further(name: str, directory: Path) -> Table:
    directory.mkdir()
    return further.measure(name)(directory)


def _contended(name: str, events: int, node: RabbitNode | None, directory: Path) -> tuple[Contender, Result]:
    """Measure a contender in its own process."""
    chosen = contender(name)
    settings = {records.FILE: str(directory / f"{name}.records"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "benchmarks.measure", name, str(events)]
    if chosen.broker == "sqlite":
        settings[URL] = f"sqlite:///{directory / name}.db"
    elif node is None:
        raise RuntimeError("not measured, because the RabbitMQ node did not start")
    else:
        settings[URL] = node.new_vhost()
        command.append(node.eval("list_to_integer(os:getpid())."))
    environment = {**os.environ, **settings, **chosen.environment}
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return chosen, from_json(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    sys.exit(main())
