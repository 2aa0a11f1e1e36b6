"""The watchers of one run of a worker."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from bridge.config.settings import Settings
from bridge.watchers.counters import Counters
from bridge.watchers.from_settings import named_watchers
from bridge.watchers.log import LogWatcher
from bridge.watchers.notify import Watchers
from worker.control.pages import metrics_if_installed
from worker.events.internal_publisher import InternalPublisher

if TYPE_CHECKING:
    from bridge.watchers.prometheus import Metrics


@dataclass(frozen=True, slots=True)
class Watching:
    """The watchers of one run. `tell` tells all of them; `counters` and `internal` are two of them, and `metrics` is
    another, if the worker serves HTTP and prometheus-client is installed."""

    tell: Watchers
    counters: Counters
    internal: InternalPublisher
    metrics: "Metrics | None"

    @classmethod
    def by_settings(cls, settings: Settings) -> Self:
        """Return the log, the counters, the publisher of internal events, the metrics, and the watchers that the
        settings name. Raise `SettingsError` if one of those cannot be imported."""
        counters, internal = Counters(), InternalPublisher(settings.queues())
        metrics = metrics_if_installed() if settings.values.http is not None else None
        log_watcher = LogWatcher(successes=settings.values.log_events)
        own = (log_watcher, counters, internal) if metrics is None else (log_watcher, counters, internal, metrics)
        return cls(Watchers((*own, *named_watchers(settings))), counters, internal, metrics)
