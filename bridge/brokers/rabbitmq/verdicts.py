"""What RabbitMQ said, judged: one function a subject, from facts to findings. Asks nothing.

Every next step is a command to be copied, or names one.
"""

import shlex
from collections.abc import Mapping, Sequence
from datetime import timedelta

from bridge.brokers.rabbitmq.consumer import CONSUMER_TIMEOUT
from bridge.brokers.rabbitmq.management import NoAnswer
from bridge.brokers.rabbitmq.probing import Count
from bridge.brokers.rabbitmq.site import Site
from bridge.brokers.rabbitmq.topology import AmqpQueue, Exchange, named
from bridge.findings import Finding, counted, ok, some, unknown, wrong
from bridge.queues import Queue

OLDEST_VERSION = (3, 10)


def version(host: str, properties: Mapping[str, object]) -> Finding:
    """Judge what answered."""
    found = str(properties.get("version", "?"))
    numbers = tuple(int(part) for part in found.split(".")[:2] if part.isdigit())
    sentence = f"{properties.get('product', 'AMQP')} {found} at {host}"
    if properties.get("product") == "RabbitMQ" and numbers >= OLDEST_VERSION:
        return ok("broker", sentence)
    return wrong("broker", f"{sentence}: expected RabbitMQ 3.10 or newer", "upgrade it, or correct broker_url")


def topology(site: Site, missing: Sequence[Exchange | AmqpQueue], expected: int) -> Finding:
    """Judge what is there of all that has a name."""
    if not missing:
        return ok("topology", f"{expected} exchanges and queues are there")
    listed = some([named(each) for each in missing])
    return wrong(
        "topology", f"{len(missing)} of {expected} exchanges and queues are not there: {listed}", site.make_anew
    )


def differing(site: Site, found: Exchange | AmqpQueue, said: str, count: Count | None) -> Finding:
    """Judge something that exists otherwise than it should, so that nobody can declare it."""
    if isinstance(found, Exchange):
        step = f"stop the programs; {site.delete('exchanges', found.name)}; {site.make_anew}"
    else:
        holds = (
            f"it holds {counted(count.ready, 'message')}: let the workers empty it, then "
            if count and count.ready
            else ""
        )
        step = f"{holds}stop the programs; {site.ctl('delete_queue', found.name, '--if-empty')}; {site.make_anew}"
    return wrong("topology", f"{named(found)} differs from what is declared: {said}", step)


def permissions(site: Site, refused: Mapping[str, Sequence[str]], *, blocked: bool) -> Finding:
    """Judge what this user may not: names by `configure`, `write` and `read`. While RabbitMQ is blocked, it was not
    asked what may be written."""
    needed = ("configure", "write", "read") if site.declares else ("write", "read")
    lacking = {act: refused[act] for act in needed if refused[act]}
    if not lacking:
        known = [act for act in needed if not (blocked and act == "write")]
        return ok("permissions", f"user '{site.user}' may {', '.join(known)}")
    said = "; ".join(f"may not {act} {some(list(dict.fromkeys(names)))}" for act, names in lacking.items())
    own = f"^{site.names.namespace}\\."
    step = site.ctl(
        "set_permissions", site.user, own if site.declares else f"{own}deciding$", f"{own}|^amq\\.default$", own
    )
    if "configure" in lacking:
        step += "; or set declare = false, and let RabbitMQ's administrator import bridge-doctor --definitions"
    return wrong("permissions", f"user '{site.user}' {said}", step)


def alarms(*, blocked: bool) -> Finding:
    """Judge whether RabbitMQ takes publishes."""
    if not blocked:
        return ok("alarms", "RabbitMQ takes publishes")
    sentence = "RabbitMQ has blocked all publishers: it is out of memory or disk space, and defer() raises"
    return wrong("alarms", sentence, "on its host: rabbitmq-diagnostics alarms; free what it names")


def unrouted(site: Site, count: Count) -> Finding:
    """Judge the place of last resort."""
    name = site.names.unrouted
    if not count.ready:
        return ok("unrouted", f"{name} is empty")
    sentence = f"{counted(count.ready, 'message')} in {name}: not even the ledger took what is there"
    ledger, source = site.names.ledger, site.names.dead_letters
    step = f"see that {ledger} is there and bound to {source} by '#', restart the workers, publish these to {source}"
    return wrong("unrouted", sentence, step)


def consumers(counts: Mapping[str, Count]) -> Sequence[Finding]:
    """Judge whether somebody takes the events of each queue."""
    idle = {queue: count.ready for queue, count in counts.items() if not count.consumers}
    findings = [
        wrong(
            "consumers",
            f"nobody takes from queue {queue}, which holds {counted(ready, 'event')}",
            "start bridge-worker with these settings",
        )
        for queue, ready in idle.items()
    ]
    served = [f"{queue} {count.consumers}" for queue, count in counts.items() if count.consumers]
    return [*findings, *([ok("consumers", some(served, 10))] if served else [])]


def waiting(counts: Mapping[str, Count], on_the_ladder: int) -> Finding:
    """Tell what waits. RabbitMQ does not say since when: to look at an event is to be delivered it."""
    ready = [f"{queue} {count.ready}" for queue, count in counts.items() if count.ready]
    return ok("waiting", f"ready: {some(ready, 10) or 'nothing'}; {on_the_ladder} wait for their time")


def timeouts(queues: Sequence[Queue], by_policy: Mapping[str, timedelta]) -> Sequence[Finding]:
    """Judge the queues' deadlines by the time that RabbitMQ leaves a consumer: its default, unless a policy sets it."""
    late = [queue for queue in queues if queue.deadline >= by_policy.get(queue.name, CONSUMER_TIMEOUT)]
    if not late:
        longest = max((queue.deadline for queue in queues), default=timedelta())
        sentence = f"a replay may last {_seconds(longest)}, which is below RabbitMQ's consumer timeout"
        return [ok("timeout", f"{sentence} (30 min, unless rabbitmq.conf says otherwise)")]
    return [_late(queue, by_policy.get(queue.name)) for queue in late]


def _late(queue: Queue, by_policy: timedelta | None) -> Finding:
    """Tell of a deadline that RabbitMQ may not leave. rabbitmq.conf can be read by nobody from here."""
    sentence = (
        f"queue {queue.name}: a replay may last {_seconds(queue.deadline)}, and RabbitMQ takes back what is held for"
    )
    enough = int(queue.deadline.total_seconds()) * 2000
    if by_policy is not None:
        step = f"a shorter deadline, or a policy with a consumer-timeout of {enough}"
        return wrong("timeout", f"{sentence} {_seconds(by_policy)}", step)
    step = (
        f"a shorter deadline; or a policy with a consumer-timeout of {enough} (RabbitMQ 3.12 and later), which is seen "
        f"here; or in rabbitmq.conf: consumer_timeout = {enough}, which is not"
    )
    return unknown("timeout", f"{sentence} {_seconds(CONSUMER_TIMEOUT)} unless rabbitmq.conf says otherwise", step)


def untold(site: Site, why: NoAnswer, *, compared: bool) -> Sequence[Finding]:
    """Return what only the management tells, where it does not. `compared`: AMQP could compare the queues."""
    step = "on RabbitMQ's host: rabbitmq-plugins enable rabbitmq_management; or set management_url to where it is"
    if why.refused:
        step = shlex.join(["rabbitmqctl", "set_user_tags", site.management.user, "management"])
    findings = [
        unknown("management", str(why), step),
        unknown(
            "bindings",
            "AMQP does not tell them",
            f"compare with bridge-doctor --definitions: {site.ctl('list_bindings')}",
        ),
        unknown("policies", "AMQP does not tell them", f"none should bound a queue: {site.ctl('list_policies')}"),
        unknown("clock", "AMQP does not tell RabbitMQ's", "compare, here and on RabbitMQ's host: date -u"),
    ]
    if not compared:
        step = f"compare with bridge-doctor --definitions: {site.ctl('list_queues', 'name', 'arguments')}"
        findings.append(unknown("topology", f"user '{site.user}' may not compare how the queues are declared", step))
    return findings


def _seconds(time: timedelta) -> str:
    return f"{time.total_seconds():g} s"
