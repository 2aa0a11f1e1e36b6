"""Faults of processes: killed, stopped, asked to end or to begin anew, at any moment."""

from tests.faults.ordeal import Fault
from tests.faults.stage import HELD_BY_A_WORKER, Stage


async def kill_worker(stage: Stage) -> None:
    """A worker is killed, and another one started."""
    pid = await stage.kill(stage.dice.choice(stage.workers))
    stage.hurt("SIGKILL of a worker", repeats=HELD_BY_A_WORKER, killed=(pid,))
    await stage.start_worker()


async def kill_publisher(stage: Stage) -> None:
    """A publisher is killed, wherever its threads are between commit, publish and confirm; another one starts."""
    pid = await stage.kill(stage.dice.choice(stage.publishers))
    stage.hurt("SIGKILL of a publisher", killed=(pid,))
    stage.start_publisher()


FAULTS = (
    Fault("SIGKILL of a worker", kill_worker, on=("sqlite", "rabbitmq")),
    Fault("SIGKILL of a publisher", kill_publisher, on=("sqlite", "rabbitmq")),
)
