"""Runs a mutant of one of our programs: ``python -m tests.faults.mutated MUTANT PROGRAM [ARGUMENT …]``.

MUTANT is a key of `MUTANTS`. PROGRAM is `bridge-worker`, `bridge-dlq`, `bridge-relay`, or `publisher` or `caller`
for the module of that name in `tests.faults`.
"""

import sys
from collections.abc import Callable, Mapping

from app_adapter.relay_cli import main as relay
from dead_letter.cli import main as dlq
from tests.faults import caller, publisher
from tests.faults.mutants import MUTANTS
from worker.cli import main as worker

PROGRAMS: Mapping[str, Callable[[], None]] = {
    "bridge-worker": worker,
    "bridge-dlq": dlq,
    "bridge-relay": relay,
    "publisher": lambda: publisher.main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])),
    "caller": lambda: caller.main(*sys.argv[1:]),
}


if __name__ == "__main__":
    _, mutant, program, *arguments = sys.argv
    MUTANTS[mutant]()
    sys.argv = [program, *arguments]
    PROGRAMS[program]()
