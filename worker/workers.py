"""The workers of one site on this machine, as their control sockets tell: who they are, and whether they are ready."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge.settings import Values
from worker.control_socket import ask, directory_of, sockets_of
from worker.readiness import why_not


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker. `why_not` is why it is not ready; None where it is. `late` is for how many seconds the oldest event in
    its hands has been due, beyond what a replay may last."""

    pid: int
    why_not: str | None
    late: float = 0.0


def workers_of(values: Values) -> list[Worker]:
    """Ask the workers of this user for these settings' broker and namespace. A pool that runs alone is none."""
    sockets = sockets_of(directory_of(values.control_directory), values.broker_url, values.namespace)
    told = list(filter(None, map(status_of, sockets)))
    return [Worker(said["pid"], why_not(said), _late(said)) for said in told if "address" not in said]


def _late(said: Mapping[str, Any]) -> float:
    serving = said.get("serving")
    return 0.0 if serving is None else max(serving["late"] - serving["deadline"], 0.0)


def status_of(path: Path) -> dict[str, Any] | None:
    """Return what is behind a socket says of itself; None where nobody is there any more."""
    try:
        return ask(path)
    except TimeoutError:
        return {"pid": int(path.stem.rpartition("-")[2]), "trouble": "it does not answer", "slots": []}
