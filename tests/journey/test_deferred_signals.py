"""Signals of an app that are deferred in one process and received in the pool of a worker."""

import json
import sys
from collections import Counter
from pathlib import Path

from tests.journey.site import Site, eventually
from tests.lines import whole_lines

PAID = [True, "Order", 17, "(Line(article='pen', price=Decimal('9.90')),)"]
SHIPPED = [True, "Order", 17, "()"]


def received(file: Path) -> Counter[str]:
    """Return the lines that the receivers have written."""
    return Counter(whole_lines(file))


async def test_receivers_run_in_the_pool_and_each_that_fails_is_retried_alone(here: Site) -> None:
    """The program that sends is the app's module itself, which the pool imports by its name."""
    file = here.directory / "received"
    file.touch()
    here.environment["RECEIVED"] = str(file)
    program = here.run(sys.executable, "signalling.py")
    assert await program.ended() == 0, program.log
    assert not received(file)

    here.worker(app="signalling:app")

    paid, shipped = {"book": 1, "send_receipt": 2}, {"track": 2, "thank": 1}
    expected = Counter({json.dumps([name, *PAID]): times for name, times in paid.items()})
    expected += Counter({json.dumps([name, *SHIPPED]): times for name, times in shipped.items()})
    await eventually(lambda: received(file).total() >= expected.total())
    assert received(file) == expected
