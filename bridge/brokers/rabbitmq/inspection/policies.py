"""The policies of a virtual host, and their harm to the bridge's queues. Pure.

RabbitMQ reports a policy's effect on a queue up to ten seconds late. So the policies themselves are asked for, and
matched here as RabbitMQ does: of the policies that match a queue, the one with the highest priority applies. The same
holds for operator policies.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bridge.brokers.rabbitmq.topology.declarations import AmqpQueue

Rows = Sequence[Mapping[str, Any]]
Kind = Literal["policy", "operator_policy"]

EXPIRES = "expires"

_HARM = {
    "max-length": "limits it: a full queue refuses events and blocks the delayed events of all queues",
    "max-length-bytes": "limits it: a full queue refuses events and blocks the delayed events of all queues",
    "overflow": "changes what a full queue does: what is dead-lettered may be lost",
    "message-ttl": "removes old events",
    EXPIRES: "deletes it when it is unused, with the events that wait in it",
    "dead-letter-exchange": "sends its dead letters elsewhere",
    "dead-letter-routing-key": "sends its dead letters elsewhere",
    "dead-letter-strategy": "lets dead letters be lost",
    "delivery-limit": "moves events to the ledger after other numbers of deliveries",
}
_HARM_TO_A_STREAM = {
    "max-length-bytes": "trims the ledger, undecided letters too",
    "max-age": "trims the ledger, undecided letters too",
}
_HARM_TO_A_LOG = dict.fromkeys(
    _HARM_TO_A_STREAM, "trims this log: pauses, cancelled events or moments of schedules are forgotten"
)
_LIMITS = frozenset({"max-length", "max-length-bytes", "message-ttl", EXPIRES, "delivery-limit"})
"""Keys of which the lower value of policy and argument counts."""

NO_LIMIT = {"max-length": 10**9, "max-length-bytes": 10**15}
"""Limits that no queue reaches."""

_TYPES = {"classic": "classic_queues", "quorum": "quorum_queues", "stream": "streams"}


@dataclass(frozen=True, slots=True)
class Harm:
    """A key of a policy that changes how queues keep events: the kind and name of the policy, the key, its value, and
    what it does."""

    kind: Kind
    policy: str
    key: str
    value: object
    why: str


@dataclass(frozen=True, slots=True)
class Policies:
    """The policies and operator policies of a virtual host, as the management API lists them."""

    policies: Rows
    operator_policies: Rows

    def effects(self, queue: AmqpQueue) -> Iterator[tuple[Kind, str, str, object]]:
        """Yield each key that applies to the queue, with the kind and the name of its policy, and its value."""
        kinds: tuple[tuple[Kind, Rows], ...] = (("policy", self.policies), ("operator_policy", self.operator_policies))
        for kind, rows in kinds:
            matching = [row for row in rows if _applies(row, queue)]
            if matching:
                policy = max(matching, key=lambda row: row.get("priority") or 0)
                for key, value in policy["definition"].items():
                    yield kind, policy["name"], key, value

    @property
    def above_all(self) -> int:
        """A priority above those of all policies."""
        return max((row.get("priority") or 0 for row in self.policies), default=0) + 1

    def harms(self, queues: Sequence[AmqpQueue]) -> dict[Harm, list[str]]:
        """Return each harm, with the names of the queues that it applies to."""
        found: dict[Harm, list[str]] = {}
        for queue in queues:
            reasons = _reasons(queue)
            for kind, name, key, value in self.effects(queue):
                if key in reasons and _changes(key, value, queue.arguments.get(f"x-{key}")):
                    found.setdefault(Harm(kind, name, key, value, reasons[key]), []).append(queue.name)
        return found

    def raised(self, harms: Sequence[Harm]) -> Mapping[str, Any] | None:
        """Return the policy of these harms, which are all of it, with limits of length that no queue reaches, and
        without its other harmful keys. Return None if it limits no queue's length: then it can be cleared. When the
        limit of a full queue is cleared, RabbitMQ before 4.0 does not tell the queue's publishers, such as the delay
        ladder, that it takes messages again (rabbitmq-server#12206)."""
        if not any(harm.key in NO_LIMIT and harm.why == _HARM[harm.key] for harm in harms):
            return None
        rows = self.policies if harms[0].kind == "policy" else self.operator_policies
        row = next(row for row in rows if row["name"] == harms[0].policy)
        harmful = {harm.key for harm in harms}
        kept = {key: value for key, value in row["definition"].items() if key not in harmful}
        return {**row, "definition": kept | {key: NO_LIMIT[key] for key in NO_LIMIT if key in harmful}}


def _reasons(queue: AmqpQueue) -> Mapping[str, str]:
    if not queue.is_stream:
        return _HARM
    return _HARM_TO_A_LOG if ".log." in queue.name else _HARM_TO_A_STREAM


def _changes(key: str, value: object, declared: object) -> bool:
    if isinstance(value, int) and value >= NO_LIMIT.get(key, math.inf):
        return False
    if key in _LIMITS and isinstance(value, int) and isinstance(declared, int):
        return value < declared
    return value != declared


def _type_of(queue: AmqpQueue) -> str:
    return str(queue.arguments.get("x-queue-type", "classic"))


def _applies(row: Mapping[str, Any], queue: AmqpQueue) -> bool:
    if row.get("apply-to", "all") not in ("all", "queues", _TYPES.get(_type_of(queue))):
        return False
    try:
        return re.search(row["pattern"], queue.name) is not None
    except re.error:  # a pattern in Erlang's notation alone
        return False
