"""The doctor's question to a broker and the answer, as values. `opening.inspect` asks the question."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bridge.brokers.contract.findings import Finding
from bridge.brokers.contract.tls import DEFAULT_TLS, Tls
from bridge.logs import Retention
from bridge.queues import Queue


@dataclass(frozen=True, slots=True)
class SiteOnBroker:
    """A broker, and the objects that a site needs there. `declares`: the site's programs declare these objects.
    `management_url` is the address of RabbitMQ's management API (None: the broker's host). `tls` is for both. `served`
    has the queues of each worker of this machine that could be asked, by process id, whatever its settings are.
    `history` is the part of the history that is kept; None if none is written. `paused` has the reason for each paused
    queue, such as "paused by ana@web1: provider down". `mailboxes` are those that an administrator declares."""

    url: str = field(repr=False)
    namespace: str
    queues: Sequence[Queue]
    declares: bool = True
    management_url: str | None = field(default=None, repr=False)
    tls: Tls = DEFAULT_TLS
    served: Mapping[int, frozenset[str]] = field(default_factory=dict)
    history: Retention | None = None
    paused: Mapping[str, str] = field(default_factory=dict)
    mailboxes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Examination:
    """All findings about a broker. `reached`: the broker answered."""

    reached: bool
    findings: Sequence[Finding]
