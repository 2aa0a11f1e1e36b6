"""The pool that a supervisor keeps."""

from dataclasses import dataclass, field

from worker.pool.recycling import RecyclingLimits


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """The pool to keep: `size` children that take requests, `spare` more, forked from a process that has imported the
    app if `preload`, and each replaced when it reaches a limit."""

    size: int
    spare: int = 0
    preload: bool = False
    limits: RecyclingLimits = field(default_factory=RecyclingLimits)
