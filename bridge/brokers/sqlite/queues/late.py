"""The error of an event that is not committed at its deadline. Pure."""

from bridge.deadline import Deadline
from bridge.errors import BrokerUnavailable, DeferUnconfirmed
from bridge.event import Event


def late(event: Event, database: str, deadline: Deadline, *, withdrawn: bool) -> BrokerUnavailable | DeferUnconfirmed:
    """Return the error. If the writing was `withdrawn`, nothing is published."""
    seconds = f"{deadline.budget:g} s"
    if withdrawn:
        return BrokerUnavailable(f"{database}: kept busy by others for {seconds}")
    return DeferUnconfirmed(event.id, f"event {event.id}: written, not confirmed within {seconds}")
