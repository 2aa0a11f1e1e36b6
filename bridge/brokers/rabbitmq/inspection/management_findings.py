"""Turns the management API's answers into findings (bindings, policies, the clock), one function for each subject."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any

from bridge.brokers.contract.findings import Finding, counted, ok, some, unknown, wrong
from bridge.brokers.rabbitmq.inspection.amqp_findings import object_that_differs
from bridge.brokers.rabbitmq.inspection.policies import NO_LIMIT, Harm, Policies
from bridge.brokers.rabbitmq.inspection.remedies import Remedies
from bridge.brokers.rabbitmq.topology.declarations import AmqpExchange, AmqpQueue, Binding
from bridge.brokers.rabbitmq.topology.definitions import binding_fields
from bridge.brokers.rabbitmq.topology.delay_ladder import LEVELS
from bridge.brokers.rabbitmq.topology.names import LANES
from bridge.brokers.rabbitmq.topology.presence import QueueCount

Rows = Sequence[Mapping[str, Any]]

COLUMNS = ("name", "arguments", "messages", "messages_dlx", "consumers")
"""The fields of each queue that are requested."""

_OF_LANES = (("messages", sum), ("consumers", max))
"""The counts of a queue's lanes that make those of the queue."""

_MANY_WORDS = re.compile(r"(\*\.){4,}")

CLOCKS_AGREE_WITHIN = timedelta(seconds=5)
_MOST_MILLISECONDS = timedelta.max // timedelta(milliseconds=1)


def bindings(
    remedies: Remedies, expected: Sequence[Binding], gone: Sequence[AmqpQueue | AmqpExchange], found: Rows
) -> list[Finding]:
    """Judge the bindings between declared objects: missing ones, if both their objects exist, and ones left over from
    other patterns. Bindings of foreign queues to the bridge's exchanges are not judged."""
    names = {name for each in expected for name in (each.source, each.target)}
    absent = {each.name for each in gone}
    wanted = {_key(binding_fields(each)) for each in expected if not {each.source, each.target} & absent}
    own = [row for row in found if {row["source"], row["destination"]} <= names]
    findings = []
    if missing := sorted(wanted - {_key(row) for row in own}):
        sentence = f"{len(missing)} of {len(wanted)} do not exist: {some(list(map(_named, missing)))}"
        findings.append(wrong("bindings", sentence, remedies.declare_again))
    findings += [
        wrong("bindings", f"left over: {_named(_key(row))}", remedies.delete(*_path(row)))
        for row in own
        if _key(row) not in wanted
    ]
    return findings or [ok("bindings", f"{len(wanted)}, as declared")]


def policies(remedies: Remedies, expected: Sequence[AmqpQueue], found: Policies) -> list[Finding]:
    """Judge the effect of policies on the queues: one finding for each policy, with all its keys and queues, since one
    command replaces the whole policy."""
    harms = found.harms(expected)
    by_policy = groupby(sorted(harms, key=_policy_and_key), key=attrgetter("kind", "policy"))
    return [_harmful(remedies, found, list(group), harms) for _, group in by_policy] or [
        ok("policies", "none changes how a queue keeps events")
    ]


def _policy_and_key(harm: Harm) -> tuple[str, str, str, str]:
    return harm.kind, harm.policy, harm.key, harm.why


def _harmful(remedies: Remedies, found: Policies, of_one: Sequence[Harm], queues: Mapping[Harm, list[str]]) -> Finding:
    first = of_one[0]
    on = sorted({queue for harm in of_one for queue in queues[harm]})
    effects = "; ".join(f"{harm.key} = {harm.value}: {harm.why}" for harm in of_one)
    sentence = f"{first.kind.replace('_', ' ')} '{first.policy}' on {some(on)}: {effects}"
    return wrong("policies", sentence, _without(remedies, of_one, found))


def _without(remedies: Remedies, of_one: Sequence[Harm], found: Policies) -> str:
    kind, policy = of_one[0].kind, of_one[0].policy
    raised = found.raised(of_one)
    if raised is None:
        return f"{remedies.ctl(f'clear_{kind}', policy)}; or give it a pattern that does not match them"
    where = ("--apply-to", str(raised.get("apply-to", "all")), "--priority", str(raised.get("priority") or 0))
    what = (policy, str(raised["pattern"]), json.dumps(raised["definition"]))
    return (
        f"{remedies.ctl(f'set_{kind}', *where, *what)}; do not clear it while a queue is full: delayed events "
        "would stay where they are"
    )


def past_their_time(remedies: Remedies, found: Rows) -> int:
    """Return the number of delayed events whose time has come and that no queue has taken yet."""
    ladder = {remedies.names.delay(level) for level in range(LEVELS)}
    return sum(row.get("messages_dlx") or 0 for row in found if row["name"] in ladder)


def delayed(remedies: Remedies, untaken: int, priority: int) -> list[Finding]:
    """Judge whether delayed events come into their queues at their time; `untaken` of them do not. A policy with this
    `priority` applies."""
    if not untaken:
        return [ok("delayed", "all delayed events come into their queues at their time")]
    queues = f"^{re.escape(remedies.names.queue(''))}"
    where = ("--apply-to", "queues", "--priority", str(priority))
    name = f"{remedies.names.namespace}-unlimited"
    step = remedies.ctl("set_policy", *where, name, queues, json.dumps(NO_LIMIT))
    sentence = f"the time of {counted(untaken, 'delayed event')} has come, and no queue takes them: one is full, or was"
    return [
        wrong("delayed", f"{sentence} full when its length limit was cleared", f"{step}; keep it until they are taken")
    ]


def objects_that_differ(remedies: Remedies, expected: Sequence[AmqpQueue | AmqpExchange], found: Rows) -> list[Finding]:
    """Judge how queues or exchanges are declared that this user may not compare over AMQP."""
    there = {row["name"]: row for row in found}
    findings = []
    for each in expected:
        row = there.get(each.name, {"arguments": each.arguments})
        differences = [
            f"{key} is {row['arguments'].get(key, 'not set')!r}, expected {value!r}"
            for key, value in each.arguments.items()
            if row["arguments"].get(key) != value
        ]
        if differences:
            findings.append(object_that_differs(remedies, each, "; ".join(differences), _count(row)))
    return findings


def _count(row: Mapping[str, Any]) -> QueueCount | None:
    """Return the counts of a queue, those that consumers hold included; None if RabbitMQ has not counted them yet."""
    messages, consumers = row.get("messages"), row.get("consumers")
    return None if messages is None or consumers is None else QueueCount(messages, consumers)


def queues_not_in_settings(
    remedies: Remedies, expected: Sequence[AmqpQueue], found: Rows, bindings: Rows
) -> list[Finding]:
    """Judge queues of the namespace that are not in the settings but hold or take events. With consumers, they are the
    live queues of other settings."""
    known, prefix = {queue.name for queue in expected}, remedies.names.queue("")
    sources = {of(lane) for lane in LANES for of in (remedies.names.events_of, remedies.names.rest_of)}
    takes = {row["destination"]: f", takes '{row['routing_key']}'" for row in bindings if row["source"] in sources}
    others = sorted(
        (row for row in found if row["name"].startswith(prefix) and row["name"] not in known), key=itemgetter("name")
    )
    findings = []
    for queue, group in groupby(others, key=lambda row: _queue_of(row["name"], prefix)):
        lanes = list(group)
        names = [row["name"] for row in lanes]
        messages, consumers = (max_or_sum(row.get(key) or 0 for row in lanes) for key, max_or_sum in _OF_LANES)
        taken = next((takes[name] for name in names if name in takes), "")
        if messages or taken:
            holds = f"{names[0]} holds {counted(messages, 'event')}{taken} and is not in the settings"
            if consumers:
                findings.append(ok("queues", f"{holds}; {counted(consumers, 'worker')} with others serve it"))
                continue
            deleted = "; ".join(remedies.ctl("delete_queue", name) for name in names)
            step = f"[queues.{queue}] in bridge.toml; or, with its events: {deleted}"
            findings.append(wrong("queues", f"{holds}: no worker serves it", step))
    return findings


def consumer_timeouts(remedies: Remedies, expected: Sequence[AmqpQueue], found: Policies) -> dict[str, timedelta]:
    """Return the consumer timeouts that policies set, by queue."""
    prefix = remedies.names.queue("")
    return {
        _queue_of(queue.name, prefix): timedelta(milliseconds=min(value, _MOST_MILLISECONDS))
        for queue in expected
        for _, _, key, value in found.effects(queue)
        if key == "consumer-timeout" and queue.name.startswith(prefix) and isinstance(value, int)
    }


def _queue_of(name: str, prefix: str) -> str:
    """Return the queue of a lane by its AMQP name; a queue's own name has no dot."""
    return name.removeprefix(prefix).partition(".")[0]


def clock(at_rabbitmq: datetime | None, here: datetime) -> Finding:
    """Judge the difference between the clocks. RabbitMQ reports whole seconds."""
    if at_rabbitmq is None:
        return unknown("clock", "the management does not report RabbitMQ's", "compare, here and on its host: date -u")
    apart = here - at_rabbitmq
    if abs(apart) <= CLOCKS_AGREE_WITHIN:
        return ok("clock", "agrees with RabbitMQ's within some seconds")
    how = "ahead of" if apart > timedelta() else "behind"
    sentence = f"this machine's is {abs(apart).total_seconds():.0f} s {how} RabbitMQ's"
    return wrong("clock", sentence, "set both by NTP: timedatectl set-ntp true")


def _key(row: Mapping[str, Any]) -> tuple[str, str, str, str]:
    return row["source"], row["destination_type"], row["destination"], row["routing_key"]


def _named(key: tuple[str, str, str, str]) -> str:
    source, _, target, pattern = key
    return f"{source} to {target} by '{_MANY_WORDS.sub('*.….', pattern)}'"


def _path(row: Mapping[str, Any]) -> tuple[str, ...]:
    return "bindings", "e", row["source"], row["destination_type"][0], row["destination"], row["properties_key"]
