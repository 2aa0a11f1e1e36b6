"""A nursery that breaks the protocol or cannot fork. Nurseries that work are tested with the real programs."""

import textwrap
from pathlib import Path

import pytest

from worker.pool.child import boot
from worker.pool.nursery import Nursery
from worker.pool.process import BootFailed, Launch

ROGUE = """
    import argparse, os, socket, time
    from bridge.child_protocol import *

    parser = argparse.ArgumentParser()
    parser.add_argument(CONTROL_OPTION, dest="control", type=int)
    parser.add_argument(NURSERY_OPTION, dest="orders", type=int)
    parser.add_argument("app")
    arguments = parser.parse_args()
    os.write(arguments.control, write_report(Ready()).encode())
    orders = socket.socket(fileno=arguments.orders)
    orders.recv(MAX_ORDER)
    {answers}
    time.sleep(60)
"""


def nursery(directory: Path, answers: str) -> Nursery:
    """Return a nursery whose process answers its first order with this code."""
    (directory / "rogue.py").write_text(textwrap.dedent(ROGUE).replace("{answers}", answers))
    return Nursery(Launch("rogue", "shop:app", 20.0, {"PYTHONPATH": str(directory)}), lambda pid, line: None)


@pytest.mark.parametrize("datagram", [b"what?", b'{"forked": 0}', b'{"exited": 17, "status": 0}'])
async def test_a_nursery_that_sends_no_answer_is_killed(tmp_path: Path, datagram: bytes) -> None:
    """The boot fails and can be tried again, instead of waiting for an answer."""
    rogue = nursery(tmp_path, f"orders.send({datagram!r})")

    with pytest.raises(BootFailed, match="the nursery was killed"):
        await boot(rogue, 20.0, lambda pid, line: None)

    assert rogue.over
    await rogue.stop()


async def test_a_nursery_that_cannot_fork_says_why(tmp_path: Path) -> None:
    """The nursery stays open for the next order."""
    poor = nursery(
        tmp_path, "orders.send(write_answer(CannotFork('no memory')))\norders.recv(MAX_ORDER)\nraise SystemExit"
    )

    with pytest.raises(BootFailed, match="could not fork: no memory"):
        await boot(poor, 20.0, lambda pid, line: None)

    assert not poor.over
    await poor.stop()
