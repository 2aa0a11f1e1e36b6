"""This project beside Celery, Dramatiq and Huey: `python -m benchmarks.run [--only NAME]… [--events N]`.

Each contender is measured by itself, one after the other, on one private RabbitMQ node (an own virtual host each) or an
own SQLite file; then what `benchmarks.further` has. Prints the figures and the ratios, and, after a run of all, writes
them to `benchmarks/RESULTS.md`.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import further, machine, records, report
from benchmarks.contender import URL, Contender
from benchmarks.contenders import NAMES, contender
from benchmarks.measure import PACE, SINGLE_SENDS
from benchmarks.results import Result, from_json
from tests.rabbitmq_node import RabbitNode

EVENTS = 20_000
RESULTS = Path(__file__).with_name("RESULTS.md")
ROOT = Path(__file__).parents[1]

PREFACE = """\
# Results

Written by `make bench`. Absolute figures do not carry from one machine to another; ratios carry better.

{machine}

{events:,} events are drained, each by a handler that writes one record: this project's in a full Flask request an \
event, the peers' as their no-op task. Two processes run handlers. Latency is from just before an event is sent to its \
handler, at {pace} events a second; sends are one after the other, from one thread. What is "confirming" is the \
contender above it with confirmed sends, and only they are measured.

{figures}

This project's figure divided by the peer's. Above 1 is better for events/s, below 1 for the rest.

{ratios}

{sections}
"""


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description="Measures, beside the peers.")
    everything = (*NAMES, *further.NAMES)
    named = f"of {', '.join(everything)}"
    parser.add_argument("--only", action="append", choices=everything, metavar="NAME", help=named)
    parser.add_argument("--events", type=int, default=EVENTS, help=f"events to drain (default {EVENTS:,})")
    arguments = parser.parse_args()
    if arguments.events < 2 * SINGLE_SENDS:
        parser.error(f"--events {arguments.events}: expected at least {2 * SINGLE_SENDS}")
    chosen: Sequence[str] = arguments.only or everything
    with tempfile.TemporaryDirectory(prefix="bridge-bench-") as directory:
        contenders = [name for name in NAMES if name in chosen]
        figures = _beside_peers(contenders, arguments.events, Path(directory)) if contenders else None
        sections = "\n\n".join(_further(name, Path(directory)) for name in further.NAMES if name in chosen)
    if figures is not None and set(chosen) == set(everything):
        RESULTS.write_text(PREFACE.format(**figures, pace=PACE, sections=sections), encoding="utf-8")
        print(f"\nwritten to {RESULTS.relative_to(ROOT)}")


def _beside_peers(names: Sequence[str], events: int, directory: Path) -> dict[str, object]:
    """Measure contenders, print their figures, and return the values of the report."""
    results: dict[str, tuple[Contender, Result]] = {}
    with RabbitNode() as node:
        for name in names:
            chosen = contender(name)
            print(f"{chosen.name} …", file=sys.stderr, flush=True)
            results[name] = (chosen, _measure(name, chosen, events, node, directory))
        version = node.ctl("version")
    figures, ratios = report.markdown(report.table(results.values())), report.markdown(report.ratios(results))
    print(f"\n{figures}\n\n{ratios}")
    lines = "\n".join(f"- {what}: {said}" for what, said in machine.described(version))
    return {"machine": lines, "events": events, "figures": figures, "ratios": ratios}


def _further(name: str, directory: Path) -> str:
    """Measure what is no contender, print its table and return it."""
    print(f"{name} …", file=sys.stderr, flush=True)
    own = directory / name
    own.mkdir()
    section = report.section(further.measure(name)(own))
    print(f"\n{section}")
    return section


def _measure(name: str, chosen: Contender, events: int, node: RabbitNode, directory: Path) -> Result:
    on_rabbitmq = chosen.broker == "rabbitmq"
    url = node.new_vhost() if on_rabbitmq else f"sqlite:///{directory / name}.db"
    settings = {URL: url, records.FILE: str(directory / f"{name}.records"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "benchmarks.measure", name, str(events)]
    if on_rabbitmq:
        command.append(str(_pid(node)))
    environment = {**os.environ, **settings, **chosen.environment}
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return from_json(done.stdout.splitlines()[-1])


def _pid(node: RabbitNode) -> int:
    """Return the process of the node's Erlang machine."""
    said = node.ctl("eval", "os:getpid().")
    found = re.search(r"\d+", said)
    if found is None:
        raise RuntimeError(f"rabbitmqctl eval os:getpid(): expected a number, got {said!r}")
    return int(found[0])


if __name__ == "__main__":
    main()
