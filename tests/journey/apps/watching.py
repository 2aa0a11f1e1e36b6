"""Two watchers: one that raises at every moment, and one that appends every moment to the file `MOMENTS`."""

import json
import os
import sys
from pathlib import Path

from bridge.moments import (
    BreakerClosed,
    BreakerOpened,
    BrokerBack,
    BrokerLost,
    ChildLost,
    ChildSeated,
    Deferred,
    Moment,
    Paused,
    Progressed,
    Relayed,
    Resumed,
    Spooled,
    WorkerMissing,
)


def broken(moment: Moment) -> None:
    """Raise at every moment."""
    raise RuntimeError("a broken watcher")


def note(moment: Moment) -> None:
    """Append a line, whole or not at all."""
    fields: dict[str, object]
    match moment:
        case Deferred() | Spooled() | Relayed():
            fields = {"event": moment.event.id}
        case ChildSeated() | ChildLost():
            fields = {"child": moment.pid}
        case BrokerLost() | BrokerBack():
            fields = {}
        case WorkerMissing():
            fields = {"missing": moment.pid}
        case Progressed():
            fields = {"event": moment.id, "attempt": moment.attempt, "done": moment.done, "note": moment.note}
        case Paused() | Resumed():
            fields = {"queue": moment.pause.queue}
        case BreakerOpened() | BreakerClosed():
            fields = {"queue": moment.queue}
        case _:
            fields = {"event": moment.event.id, "attempt": moment.attempt, "queue": moment.queue}
            settlement = getattr(moment, "settlement", None)
            if settlement is not None:
                fields |= {"settlement": type(settlement).__name__, "release": getattr(moment, "release", None)}
    line = {"moment": type(moment).__name__, "pid": os.getpid(), "program": Path(sys.argv[0]).name, **fields}
    with Path(os.environ["MOMENTS"]).open("a") as moments:
        moments.write(json.dumps(line) + "\n")
