"""Example statuses of a worker and a pool for tests."""

from bridge.status import PoolStatus, ProgressStatus, QueueStatus, ServingStatus, SlotStatus, WorkerStatus


async def no_child(pid: int) -> None:
    """Be the stacks of a child that a worker does not have."""


BUSY = SlotStatus(
    slot=1,
    state="busy",
    restarts=2,
    why="was ended by SIGKILL",
    pid=12,
    age=3.5,
    requests=7,
    rss=50 * 1024**2,
    boot_seconds=0.4,
    release="v7",
    event="do.this",
    id="the-id",
    queue="mail",
    attempt=1,
    seconds=0.25,
    deadline=60.0,
    progress=ProgressStatus(3, 10, "resizing"),
)
SERVING = ServingStatus(
    queues={"mail": QueueStatus(live=True), "default": QueueStatus(live=True)},
    why="",
    slots=2,
    unconfirmed=0,
    progress=0.0,
    late=0.0,
    deadline=60.0,
)
WORKER = WorkerStatus(
    release="v7",
    children=2,
    booting=1,
    restarts=2,
    trouble=None,
    slots=(BUSY, SlotStatus(slot=2, state="booting", restarts=0), SlotStatus(slot=None, state="spare", pid=13)),
    instance="5f0c2a",
    host="web1",
    pid=11,
    app="shop:app",
    broker="sqlite:///bridge.db",
    namespace="bridge",
    version="1.0",
    age=60.0,
    running=0,
    delivered=5,
    retried=1,
    dead_lettered=0,
    serving=SERVING,
)
"""A worker that is ready."""
POOL = PoolStatus(
    release="v7",
    children=1,
    booting=0,
    restarts=0,
    trouble=None,
    slots=(SlotStatus(slot=1, state="idle", restarts=0, pid=12, requests=17),),
    pid=10,
    app="shop:app",
    address="unix:/run/shop.sock",
    version="1.0",
    age=60.0,
    served=17,
)
