"""What the management tells, judged: bindings, policies, the clock. One function a subject; asks nothing."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from bridge.brokers.rabbitmq import verdicts
from bridge.brokers.rabbitmq.definitions import bound
from bridge.brokers.rabbitmq.site import Site
from bridge.brokers.rabbitmq.topology import AmqpQueue, Binding, Exchange
from bridge.findings import Finding, counted, ok, some, unknown, wrong

Rows = Sequence[Mapping[str, Any]]

COLUMNS = ("name", "arguments", "messages", "consumers", "policy", "operator_policy", "effective_policy_definition")
"""What is asked of each queue."""

_MANY_WORDS = re.compile(r"(\*\.){4,}")

CLOCKS_AGREE_WITHIN = timedelta(seconds=5)

_HARM = {
    "max-length": "bounds it: a full queue refuses events and holds up the delays of all queues",
    "max-length-bytes": "bounds it: a full queue refuses events and holds up the delays of all queues",
    "overflow": "changes what a full queue does: what is dead-lettered may be lost",
    "message-ttl": "ends events by their age",
    "expires": "deletes it where nobody uses it",
    "dead-letter-exchange": "sends its dead letters elsewhere",
    "dead-letter-routing-key": "sends its dead letters elsewhere",
    "dead-letter-strategy": "lets dead letters be lost",
    "delivery-limit": "lets events die of deliveries",
}
_HARM_TO_THE_LEDGER = {
    "max-length-bytes": "trims the ledger, undecided letters too",
    "max-age": "trims the ledger, undecided letters too",
}


def bindings(
    site: Site, expected: Sequence[Binding], gone: Sequence[AmqpQueue | Exchange], found: Rows
) -> list[Finding]:
    """Judge the bindings among what is declared: those that are not there, though what they bind is, and those that are
    left over from other patterns. What somebody else has bound to our exchanges is theirs."""
    names = {name for each in expected for name in (each.source, each.target)}
    absent = {each.name for each in gone}
    wanted = {_key(bound(each)) for each in expected if not {each.source, each.target} & absent}
    own = [row for row in found if {row["source"], row["destination"]} <= names]
    findings = []
    if missing := sorted(wanted - {_key(row) for row in own}):
        sentence = f"{len(missing)} of {len(wanted)} are not there: {some(list(map(_named, missing)))}"
        findings.append(wrong("bindings", sentence, site.make_anew))
    findings += [
        wrong("bindings", f"left over: {_named(_key(row))}", site.delete(*_path(row)))
        for row in own
        if _key(row) not in wanted
    ]
    return findings or [ok("bindings", f"{len(wanted)}, as declared")]


def policies(site: Site, expected: Sequence[AmqpQueue], found: Rows) -> list[Finding]:
    """Judge what policies make of the queues: one finding for each policy and key, however many queues it is on."""
    declared = {queue.name: queue.arguments for queue in expected}
    hurt: dict[tuple[str, str, str], list[str]] = {}
    for row in found:
        harms = _HARM_TO_THE_LEDGER if row["name"] == site.names.ledger else _HARM
        policy = row.get("effective_policy_definition") or {}
        for key in harms.keys() & policy.keys() if row["name"] in declared else ():
            if policy[key] != declared[row["name"]].get(f"x-{key}"):
                kind = "policy" if row.get("policy") else "operator_policy"
                harm = kind, row[kind] or "?", f"{key} = {policy[key]}: {harms[key]}"
                hurt.setdefault(harm, []).append(row["name"])
    return [
        wrong(
            "policies",
            f"{kind.replace('_', ' ')} '{name}' on {some(queues)}: {why}",
            f"{site.ctl(f'clear_{kind}', name)}; or give it a pattern that spares them",
        )
        for (kind, name, why), queues in sorted(hurt.items())
    ] or [ok("policies", "none that changes what a queue keeps")]


def differing(site: Site, expected: Sequence[AmqpQueue | Exchange], found: Rows) -> list[Finding]:
    """Judge how queues or exchanges are declared, where this user may not compare them."""
    there = {row["name"]: row["arguments"] for row in found}
    return [
        verdicts.differing(site, each, f"{key} is {there[each.name].get(key, 'not set')!r}, expected {value!r}", None)
        for each in expected
        for key, value in each.arguments.items()
        if each.name in there and there[each.name].get(key) != value
    ]


def forgotten(site: Site, expected: Sequence[AmqpQueue], found: Rows, bindings: Rows) -> list[Finding]:
    """Judge queues of the namespace that are not in the settings, and hold events, or take them."""
    known, prefix = {queue.name for queue in expected}, site.names.queue("")
    sources = (site.names.events, site.names.rest)
    takes = {row["destination"]: f", takes '{row['routing_key']}'" for row in bindings if row["source"] in sources}
    findings = []
    for row in found:
        name, messages = row["name"], row.get("messages") or 0
        if name.startswith(prefix) and name not in known and (messages or name in takes):
            holds = f"{name} holds {counted(messages, 'event')}{takes.get(name, '')}"
            serve = f"[queues.{name.removeprefix(prefix)}] in bridge.toml"
            step = f"{serve}; or, with its events: {site.ctl('delete_queue', name)}"
            findings.append(wrong("queues", f"{holds} and is not in the settings: nobody serves it", step))
    return findings


def timeouts(site: Site, found: Rows) -> dict[str, timedelta]:
    """Return the consumer timeouts that policies set, by queue."""
    prefix = site.names.queue("")
    set_to = {row["name"]: (row.get("effective_policy_definition") or {}).get("consumer-timeout") for row in found}
    return {
        name.removeprefix(prefix): timedelta(milliseconds=timeout)
        for name, timeout in set_to.items()
        if name.startswith(prefix) and timeout is not None
    }


def clock(theirs: datetime | None, ours: datetime) -> Finding:
    """Judge the difference of the clocks. RabbitMQ's has whole seconds."""
    if theirs is None:
        return unknown("clock", "the management does not tell RabbitMQ's", "compare, here and on its host: date -u")
    apart = ours - theirs
    if abs(apart) <= CLOCKS_AGREE_WITHIN:
        return ok("clock", "as RabbitMQ's, within some seconds")
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
