"""The pool that the settings describe, for both programs that run a pool."""

import logging

from bridge.config.values import Values
from bridge.console.app_output import level_of
from bridge.logger import log
from worker.pool.plan import PoolPlan
from worker.pool.recycling import RecyclingLimits


def plan_of(values: Values) -> PoolPlan:
    """Return the plan of the pool that the settings describe."""
    limits = RecyclingLimits(values.max_requests, values.max_age.total_seconds(), values.max_memory)
    return PoolPlan(values.children, values.spare, values.preload, limits)


def log_printed(pid: int, record: str) -> None:
    """Log a record that a child printed while no request ran in it."""
    log.log(level_of(record, logging.INFO), "%s", record, extra={"child": pid})
