"""The retry policies of a queue, from its `retry` setting. A site's own policy is imported here: apart from policies
and watchers, the worker process runs no code of the site."""

import random
from functools import lru_cache

from bridge.config.named_object import named_object
from bridge.errors import SettingsError
from bridge.queues import Queue
from bridge.retry_policy import RetryPolicy, from_object, from_table
from bridge.retry_table import DEFAULT, RetryTable
from bridge.settlement import Policies


def policies_of(queue: Queue) -> Policies:
    """Return the queue's policies. Raise `SettingsError` if `"module:object"` names no tenacity policy."""
    return Policies(_policy(queue), _of_table(DEFAULT), drops_expired=queue.expired == "drop", by_table=_of_table)


@lru_cache(maxsize=256)
def _of_table(table: RetryTable) -> RetryPolicy:
    return from_table(table, random.random)


def _policy(queue: Queue) -> RetryPolicy:
    if isinstance(queue.retry, RetryTable):
        return _of_table(queue.retry)
    try:
        return from_object(named_object(queue.retry))
    except Exception as error:  # the site's module may raise anything while it is imported
        raise SettingsError(
            f"queues.{queue.name}.retry = {queue.retry!r} (from the settings' file): expected 'module:object' "
            f"that names a tenacity policy such as Retrying(stop=…, wait=…): {type(error).__name__}: {error}"
        ) from error
