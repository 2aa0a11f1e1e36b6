"""The lanes of a queue in the table of events. The column `queue` has the name of a lane: that of the queue, with a
suffix for high and low priority. (A queue's name has no dot.) Files of earlier versions have the middle lane alone.
"""

from bridge.handling import Priority

LANES = (Priority.NORMAL, Priority.HIGH, Priority.LOW)

_SUFFIXES = {lane.value for lane in LANES[1:]}


def lane_name(queue: str, lane: Priority) -> str:
    """Return the name of a queue's lane."""
    return queue if lane is Priority.NORMAL else f"{queue}.{lane.value}"


def queue_and_lane(name: str) -> tuple[str, Priority]:
    """Return the queue and the priority of a lane by its name. A name with another suffix is that of a queue."""
    queue, _, suffix = name.partition(".")
    return (queue, Priority(suffix)) if suffix in _SUFFIXES else (name, Priority.NORMAL)
