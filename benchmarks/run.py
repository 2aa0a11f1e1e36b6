"""Measures this project and its peers: `python -m benchmarks.run`, with `--help` for its options.

The contenders are measured by turns, each in each round on a new virtual host of one private RabbitMQ node, or on a new
SQLite file; then the parts of `benchmarks.further` follow. A run of all parts writes `benchmarks/RESULTS.md` after each
part. A part that fails is listed there, and the others continue. The exit code is 1 if a part has failed.
"""

import argparse
import json
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
from benchmarks.figures import Figures
from benchmarks.gathering import Gathering
from benchmarks.measure import SINGLE_SENDS
from benchmarks.report import Table
from benchmarks.scale import Scale
from tests.rabbitmq_node import RabbitNode

RESULTS = Path(__file__).with_name("RESULTS.md")
ROOT = Path(__file__).parents[1]


def main() -> int:
    """Run the benchmark, and return the exit code."""
    chosen, scale = _arguments()
    file = RESULTS if set(chosen) == {*NAMES, *further.NAMES} else None
    with tempfile.TemporaryDirectory(prefix="bridge-bench-") as directory:
        gathering = _gathered(chosen, file, scale, Path(directory))
    if file is not None:
        print(f"\nwritten to {file.relative_to(ROOT)}")
    for name, why in gathering.failures.items():
        print(f"failed: {name}: {why}", file=sys.stderr)
    return 1 if gathering.failures else 0


def _arguments() -> tuple[Sequence[str], Scale]:
    """Return the chosen parts and the size of the run."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.run", description="Measures this project and its peers."
    )
    everything, usual = (*NAMES, *further.NAMES), Scale()
    named = f"measure only this part (may be repeated): {', '.join(everything)}"
    parser.add_argument("--only", action="append", choices=everything, metavar="NAME", help=named)
    for option, default, text in (
        ("--events", usual.events, "number of events of one drain"),
        ("--rounds", usual.rounds, "rounds of each measurement, by turns"),
        ("--backlog", usual.backlog, "number of events of the part `backlog`; at length 1000000"),
    ):
        parser.add_argument(option, type=int, default=default, metavar="N", help=f"{text} (default {default:,})")
    given = parser.parse_args()
    for option, value, least in (
        ("--events", given.events, 2 * SINGLE_SENDS),
        ("--rounds", given.rounds, 1),
        ("--backlog", given.backlog, 10_000),
    ):
        if value < least:
            parser.error(f"{option} {value}: expected at least {least:,}")
    return given.only or everything, Scale(given.events, given.rounds, given.backlog)


def _gathered(chosen: Sequence[str], file: Path | None, scale: Scale, directory: Path) -> Gathering:
    contenders = [name for name in NAMES if name in chosen]
    gathering = Gathering(file, scale, dict(machine.described()))
    with ExitStack() as stack:
        node = gathering.attempt("RabbitMQ", lambda: stack.enter_context(RabbitNode())) if contenders else None
        if node is not None:
            version = node.eval("rabbit_misc:version().").strip('"')
            gathering.machine["RabbitMQ"] = f"{version}, one private node on the same machine"
        for number in range(1, scale.rounds + 1):
            place = directory / f"round-{number}"
            place.mkdir()
            for name in contenders:
                gathering.add_contender(name, number, partial(_contended, name, scale.events, node, place))
    gathering.print_contenders()
    for name in (name for name in further.NAMES if name in chosen):
        gathering.add_section(name, partial(_further, name, directory / name, scale))
    return gathering


def _further(name: str, directory: Path, scale: Scale) -> Table:
    directory.mkdir()
    return further.measure(name)(directory, scale)


def _contended(name: str, events: int, node: RabbitNode | None, directory: Path) -> tuple[Contender, Figures]:
    """Measure a contender once, in its own process."""
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
    return chosen, json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    sys.exit(main())
