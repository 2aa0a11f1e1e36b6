"""One child of a worker: where is its code now? The child is asked for its stacks when the screen is opened."""

from typing import Any

from bridge.brokers.any_broker.roll_call import ask_for_stacks
from bridge.brokers.contract.broker import Broker
from bridge.stacks import ChildStacks
from bridge.status import SlotStatus, WorkerStatus
from deferred_event_bridge.dashboard.screens.asked import Asked, NotThere, command, iso
from deferred_event_bridge.dashboard.screens.pool import slot_document
from worker.control.child_stacks import NO_STACKS


def document(asked: Asked, instance: str, pid: int) -> dict[str, Any]:
    """Return the stacks of a child of the worker with this instance, and what runs in it. Raise `NotThere`."""
    worker, slot = _known(asked, instance, pid)

    async def ask(broker: Broker) -> list[ChildStacks]:
        return await ask_for_stacks(broker, pid, instance)

    found = asked.observer.ask(ask)
    if not found:
        raise NotThere(f"The worker does not answer, or its child {pid} has ended.")
    [answer] = found
    running = None if answer.event is None or slot is None or slot.id != answer.event else slot_document(slot)
    return {
        "headline": f"Child {pid} of {answer.host}:{answer.worker}",
        "level": "good" if answer.stacks else "wait",
        "as_of": iso(asked.now),
        "instance": instance,
        "host": answer.host,
        "worker": answer.worker,
        "app": None if worker is None else worker.app,
        "pid": pid,
        "event": answer.event,
        "slot": running,
        "stacks": answer.stacks,
        "trouble": "" if answer.stacks else NO_STACKS,
        "command": command("bridge-status", "--stacks", str(pid)),
    }


def _known(asked: Asked, instance: str, pid: int) -> tuple[WorkerStatus | None, SlotStatus | None]:
    """Return the worker and the child as they were seen last; None if they were not seen: they may be new."""
    roll = asked.observer.seen().roll
    worker = next((each for each in roll.workers if each.instance == instance), None) if roll else None
    slots = () if worker is None else worker.slots
    return worker, next((each for each in slots if each.pid == pid), None)
