"""All settings with their types and defaults, as data. `settings.py` reads them from their sources."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Annotated, Literal

from bridge.config.broker_url import BrokerUrl
from bridge.config.dashboard_settings import DashboardSettings
from bridge.config.foreign_pool import Address, ForeignPoolSettings
from bridge.config.foreign_queue import ForeignQueueSettings, check_foreign
from bridge.config.ingress_settings import IngressSettings
from bridge.config.notation import (
    AppUrl,
    Count,
    Duration,
    GroupId,
    HttpUrl,
    InFlight,
    ObjectNames,
    Patterns,
    PlainName,
    PositiveCount,
    PositiveDuration,
    QueueNames,
    Room,
    Secret,
    Size,
    SomeText,
    UrlPath,
    Words,
    YesOrNo,
    member_of,
    number,
    one_of,
    plain_name,
    policy,
    text,
)
from bridge.config.pool_settings import PoolSettings
from bridge.config.reading import Problem, Unreadable, mapping, table
from bridge.config.schedule_settings import ScheduleSettings
from bridge.config.sidekiq_settings import SidekiqSettings
from bridge.config.store_settings import StoreSettings, store
from bridge.handling import Priority
from bridge.logs import Retention
from bridge.queues import CATCH_ALL, DEADLINE_AT_MOST
from bridge.rate import Rate
from bridge.retry_table import DEFAULT, RetryTable


@dataclass(frozen=True)
class RetrySettings:
    """The table `retry = {…}` of one queue or of all queues."""

    attempts: PositiveCount = DEFAULT.attempts
    initial: PositiveDuration = DEFAULT.initial
    base: Annotated[float, partial(number, least=1)] = DEFAULT.base
    max: PositiveDuration = DEFAULT.max
    jitter: Annotated[float, partial(number, least=0, most=1)] = DEFAULT.jitter

    def table(self) -> RetryTable:
        """Return the table for `bridge.retry_policy`."""
        return RetryTable(self.attempts, self.initial, self.base, self.max, self.jitter)


retry_settings = table(RetrySettings)
"""The reader of a retry table: that of a queue, of an event or of a listener."""


def _policy_or_table(value: object) -> RetrySettings | str:
    return policy(value) if isinstance(value, str) else retry_settings(value)


RetrySetting = Annotated[RetrySettings | str, _policy_or_table]


@dataclass(frozen=True)
class QueueSettings:
    """The table `[queues.<name>]`. None means the site's default."""

    patterns: Patterns = ()
    deadline: PositiveDuration | None = None
    deadline_at_most: PositiveDuration | None = None
    retry: RetrySetting | None = None
    slots: PositiveCount | None = None
    priority: Annotated[Priority, member_of(Priority)] = Priority.NORMAL
    weight: PositiveCount = 1
    ordered: YesOrNo = False
    expired: Annotated[Literal["dead-letter", "drop"], one_of("dead-letter", "drop")] = "dead-letter"
    rate: Annotated[Rate, Rate.parsed] | None = None
    burst: PositiveCount = 1
    site_slots: PositiveCount | None = None
    breaker: PositiveCount | None = None
    """The number of events in a row that fail alike before the worker holds the events of the queue."""
    foreign: Annotated[ForeignQueueSettings, table(ForeignQueueSettings)] | None = None

    def __post_init__(self) -> None:
        """Raise `Unreadable` for settings that contradict each other."""
        if self.ordered and self.slots not in (None, 1):
            raise Unreadable(
                [Problem(("slots",), self.slots, "expected no slots, or 1: ordered = true runs one event")]
            )
        check_foreign(self.foreign, ordered=self.ordered)


@dataclass(frozen=True)
class HistorySettings:
    """The table `history = {…}`: for how long attempts are kept, and how many bytes of them. `keep` 0: no history."""

    keep: Duration = timedelta(days=1)
    limit: Room = 256 * 1024**2

    def retention(self) -> Retention | None:
        """Return the part of the history that is kept; None if nothing is written."""
        return Retention(self.keep, self.limit) if self.keep else None


@dataclass(frozen=True)
class WorkerGroupSettings:
    """The table `[workers.<name>]`: what the workers of this group serve, and their settings. None means the setting of
    the whole site; no `queues` means all queues."""

    app: SomeText | None = None
    queues: QueueNames = ()
    children: PositiveCount | None = None
    spare: Count | None = None
    preload: YesOrNo | None = None
    max_requests: Count | None = None
    max_age: Duration | None = None
    max_memory: Size | None = None
    grace: Duration | None = None


@dataclass(frozen=True)
class Values:
    """All settings with their defaults. docs/settings.md describes them."""

    broker_url: BrokerUrl = field(default="sqlite:///bridge.db", repr=False)
    broker_password_file: SomeText | None = None
    """The file with the password of the user in `broker_url`, which `load_settings` puts into the URL."""
    namespace: PlainName = "bridge"
    declare: YesOrNo = True
    """True: programs declare their queues and exchanges on RabbitMQ. False: programs only check that these exist."""
    mailboxes: QueueNames = ()
    """The mailboxes that an administrator declares, if the programs may not. See docs/mailboxes.md."""
    management_url: HttpUrl | None = field(default=None, repr=False)
    tls_ca: SomeText | None = None
    """The file of the authorities that RabbitMQ's certificate is verified with; None: those of the system."""
    tls_cert: SomeText | None = None
    tls_key: SomeText | None = None
    tls_verify: YesOrNo = True
    source: Annotated[str, partial(text, least=1, most=200)] | None = None
    release: Annotated[str, partial(text, most=200)] | None = None
    replay_path: UrlPath = "/_bridge"
    public_url: AppUrl | None = None
    """The URL at which users reach the app, for the external URLs of listeners if Flask's config has no SERVER_NAME."""
    publish_timeout: PositiveDuration = timedelta(seconds=2)
    max_body: Size = 1024**2
    publish: Annotated[Literal["confirm", "spool"], one_of("confirm", "spool")] = "confirm"
    """The action of `defer()` if the broker does not answer in time: raise an error, or spool the event."""
    spool: SomeText = "bridge-spool.db"
    spool_limit: Room = 1024**3
    file_group: GroupId | None = None
    """The group that shares the SQLite file and the spool with the user who makes them. None: that user alone."""
    children: PositiveCount = field(default_factory=lambda: os.cpu_count() or 1)
    calls: Count | None = None
    """The number of slots that calls may fill at a time; None: all but one, at least one; 0: the worker takes no
    calls."""
    in_flight: InFlight = 16
    """The most events that are sent to a child before it has answered. A killed worker's are delivered again."""
    spare: Count = 1
    """The number of warm children that take no requests until another child is lost. Each costs memory; one covers the
    loss of any single child."""
    preload: YesOrNo = False
    max_requests: Count = 0
    """A child is replaced after this many requests, or a little fewer; 0: never. `max_age` and `max_memory` work the
    same."""
    max_age: Duration = timedelta(0)
    max_memory: Size = 0
    deadline: PositiveDuration = timedelta(seconds=60)
    deadline_at_most: PositiveDuration = DEADLINE_AT_MOST
    """The longest time that a replay may take if its listener asks for more: `event.extend()`."""
    retry: RetrySetting = RetrySettings()
    grace: Duration = timedelta(seconds=30)
    boot_timeout: PositiveDuration = timedelta(seconds=60)
    control_directory: Annotated[str, partial(text, least=1, most=80)] | None = None
    """The directory of the control sockets. At most 80 characters, because the whole path of a socket has at most 107
    bytes."""
    replay_secret: Secret | None = field(default=None, repr=False)
    """The secret that `bridge-worker --fastcgi` and `bridge-pool` share, so that nobody else can send replays."""
    ledger_key: Secret | None = field(default=None, repr=False)
    """The secret that workers and `bridge-dlq` share, so that nobody else can write dead letters and decisions."""
    ledger_key_previous: Secret | None = field(default=None, repr=False)
    """The `ledger_key` of before, whose signatures are still believed."""
    watchers: ObjectNames = ()
    """The watchers that receive the moments of every program, each as `"module:object"`. See docs/watching.md."""
    redact: Words = ("password", "secret", "token", "authorization")
    """The words in names of fields whose values are not shown, logged or exported. See `bridge.redaction`."""
    log_events: YesOrNo = False
    """True: the worker logs a line at level info for each event that succeeded."""
    http: Annotated[Address, Address.to_listen_on] | None = None
    """The address of the worker's own HTTP server, for monitoring."""
    history: Annotated[HistorySettings, table(HistorySettings)] = HistorySettings()
    """The part of the history of events that is kept. See docs/history.md."""
    fastcgi: Annotated[ForeignPoolSettings, table(ForeignPoolSettings)] | None = None
    queues: Annotated[Mapping[str, QueueSettings], mapping(plain_name, table(QueueSettings))] = field(
        default_factory=lambda: {CATCH_ALL: QueueSettings()}
    )
    ingress: Annotated[IngressSettings, table(IngressSettings)] | None = None
    """Who may send events over HTTP. See docs/ingress.md."""
    dashboard: Annotated[DashboardSettings, table(DashboardSettings)] | None = None
    """Who may see and operate the site in a browser. See docs/dashboard.md."""
    pool: Annotated[PoolSettings, table(PoolSettings)] | None = None
    """The pool behind web servers that `bridge-site` runs."""
    schedules: Annotated[Mapping[str, ScheduleSettings], mapping(plain_name, table(ScheduleSettings))] = field(
        default_factory=dict
    )
    workers: Annotated[Mapping[str, WorkerGroupSettings], mapping(plain_name, table(WorkerGroupSettings))] = field(
        default_factory=dict
    )
    stores: Annotated[Mapping[str, StoreSettings | SidekiqSettings], mapping(plain_name, store)] = field(
        default_factory=dict
    )
    """The databases whose outboxes `bridge-relay` publishes, and the queues of Sidekiq whose jobs it publishes. See
    docs/outbox.md and docs/sidekiq.md."""
