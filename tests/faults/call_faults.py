"""Faults while an app calls: of the workers, the callers, their children, and of the broker."""

import signal

from tests.faults import node_faults, process_faults
from tests.faults.ordeal import BOTH, Fault, alone
from tests.faults.stage import THREADS, Stage

ANSWERS = 20
"""Calls that end after each fault, so that calls are made again."""


def _calling(fault: Fault) -> Fault:
    """Return the fault for a site in which a program calls."""

    async def hurt(stage: Stage) -> None:
        if not stage.callers:
            stage.start_caller()
            await stage.reaches("replied", ANSWERS)
        await fault.hurt(stage)
        await stage.reaches("replied", ANSWERS)

    return Fault(f"{fault.name}, under calls", hurt, on=fault.on, workers=fault.workers)


async def kill_caller(stage: Stage) -> None:
    """Kill a program that has calls in flight, and start another one."""
    pid = await stage.kill(stage.dice.choice(stage.callers))
    stage.hurt("SIGKILL of a caller", killed=(pid,))
    stage.start_caller()


async def stop_worker(stage: Stage) -> None:
    """Stop a worker until some callers have given up, and let it go on."""
    worker = stage.dice.choice(stage.workers)
    worker.signal(signal.SIGSTOP)
    stage.hurt("SIGSTOP of a worker")
    await stage.reaches("told", THREADS)
    worker.signal(signal.SIGCONT)


OF_PROCESSES = tuple(
    _calling(fault)
    for fault in (
        *(
            fault
            for fault in process_faults.FAULTS
            if fault.hurt in (process_faults.kill_worker, process_faults.kill_child, process_faults.end_workers)
        ),
        Fault("SIGKILL of a caller", kill_caller, on=BOTH),
        Fault("SIGSTOP of a worker", stop_worker, on=BOTH),
    )
)
OF_THE_NODE = tuple(
    _calling(fault)
    for fault in node_faults.FAULTS
    if fault.hurt in (node_faults.kill, node_faults.restart, node_faults.close_all_connections)
)
FAULTS = (*OF_PROCESSES, *OF_THE_NODE)
SHORT = alone(FAULTS[:1])
"""The others run at full length alone: `make faults`."""
