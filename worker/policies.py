"""From a queue's `retry` setting to the policies that answer for it. A policy of the site's own is imported here, and
only here: the worker runs no other code of the site."""

import importlib
import random
import sys
from pathlib import Path

from bridge.errors import SettingsError
from bridge.queues import Queue
from bridge.retry_policy import RetryPolicy, from_object, from_table
from bridge.retry_table import DEFAULT, RetryTable
from bridge.settlement import Policies


def policies_of(queue: Queue) -> Policies:
    """Return the queue's policies. Raise `SettingsError` where `"module:object"` names no tenacity policy."""
    return Policies(own=_policy(queue), fallback=from_table(DEFAULT, random.random))


def _policy(queue: Queue) -> RetryPolicy:
    if isinstance(queue.retry, RetryTable):
        return from_table(queue.retry, random.random)
    module_name, _, path = queue.retry.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # behind our own, so that a `worker.py` of the site shadows nothing
    try:
        found: object = importlib.import_module(module_name)
        for name in path.split("."):
            found = getattr(found, name)
        return from_object(found)
    except Exception as error:  # the site's module may raise anything while it is imported
        raise SettingsError(
            f"queues.{queue.name}.retry = {queue.retry!r} (from the settings' file): expected 'module:object' "
            f"that names a tenacity policy such as Retrying(stop=…, wait=…): {type(error).__name__}: {error}"
        ) from error
