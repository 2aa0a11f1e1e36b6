"""Turns the answers over AMQP into findings, with one function for each subject.

Every next step is a command to be copied, or names one.
"""

import json
import re
import shlex
import socket
import ssl
from collections.abc import Mapping, Sequence
from datetime import timedelta

from bridge.brokers.contract.findings import Finding, counted, ok, some, unknown, wrong
from bridge.brokers.contract.roles import Role
from bridge.brokers.rabbitmq.connection.address import Address
from bridge.brokers.rabbitmq.connection.errors import caused_by, error_text
from bridge.brokers.rabbitmq.consuming.consumer import CONSUMER_TIMEOUT
from bridge.brokers.rabbitmq.inspection.management_api import NoAnswer
from bridge.brokers.rabbitmq.inspection.remedies import Remedies
from bridge.brokers.rabbitmq.topology import roles
from bridge.brokers.rabbitmq.topology.declarations import AmqpExchange, AmqpQueue, named
from bridge.brokers.rabbitmq.topology.presence import QueueCount
from bridge.errors import BrokerRefused
from bridge.queues import Queue
from bridge.site_logs import HISTORY

OLDEST_VERSION = (3, 10)
_RETENTION = ("max-age", "max-length-bytes")


def broker_version(host: str, properties: Mapping[str, object]) -> Finding:
    """Judge the product and the version of the broker."""
    found = str(properties.get("version", "?"))
    numbers = tuple(int(part) for part in found.split(".")[:2] if part.isdigit())
    sentence = f"{properties.get('product', 'AMQP')} {found} at {host}"
    if properties.get("product") == "RabbitMQ" and numbers >= OLDEST_VERSION:
        return ok("broker", sentence)
    return wrong("broker", f"{sentence}: expected RabbitMQ 3.10 or newer", "upgrade it, or correct broker_url")


def missing_objects(remedies: Remedies, missing: Sequence[AmqpExchange | AmqpQueue], expected: int) -> Finding:
    """Judge whether all exchanges and queues exist. `expected` is their number."""
    if not missing:
        return ok("topology", f"all {expected} exchanges and queues exist")
    listed = some([named(each) for each in missing])
    return wrong(
        "topology", f"{len(missing)} of {expected} exchanges and queues do not exist: {listed}", remedies.declare_again
    )


def object_that_differs(
    remedies: Remedies, found: AmqpExchange | AmqpQueue, difference: str, count: QueueCount | None
) -> Finding:
    """Judge an object that exists with other properties, so that programs cannot declare it."""
    if isinstance(found, AmqpExchange):
        delete = remedies.delete("exchanges", found.name)
        step = f"stop the programs; {delete}; {remedies.declare_again}; bind to it again what others had bound"
    elif found.is_stream:
        step = _keep(remedies, found)
    else:
        step = _delete_when_empty(remedies, found, count)
    return wrong("topology", f"{named(found)} differs from what is declared: {difference}", step)


def _delete_when_empty(remedies: Remedies, queue: AmqpQueue, count: QueueCount | None) -> str:
    """Return the step for a queue. RabbitMQ deletes no quorum queue `--if-empty`, and knows what consumers hold only
    when they are gone: so the command is named for a queue that is empty and has no consumer."""
    if count is None or count.ready or count.consumers:
        holds = f"it holds {counted(count.ready, 'message')}" if count else "what it holds is unknown"
        return (
            f"{holds}: stop what publishes to it, let it run empty, stop the other programs, and run bridge-doctor "
            "again, which then names the command that deletes it"
        )
    delete = remedies.ctl("delete_queue", queue.name)
    return f"stop the programs: what comes into it now is lost; {delete}; {remedies.declare_again}"


def _keep(remedies: Remedies, stream: AmqpQueue) -> str:
    """Return the step for a stream, which is never empty. RabbitMQ changes what a stream keeps by a policy alone."""
    names = remedies.names
    lost = "all dead letters and decisions" if stream.name == names.ledger else "all its records"
    kept = f"do not delete it: {lost} would be lost"
    if stream.name != names.log(HISTORY):
        return f"{kept}; programs with declare = false use it as it is"
    limits = {key: stream.arguments[f"x-{key}"] for key in _RETENTION if f"x-{key}" in stream.arguments}
    pattern = f"^{re.escape(stream.name)}$"
    policy = remedies.ctl("set_policy", "--apply-to", "queues", stream.name, pattern, json.dumps(limits))
    return (
        f"{kept}; to keep what the settings say: {policy}; with a --priority if other policies match it; and set "
        "history to what it was declared with"
    )


def permissions(remedies: Remedies, refused: Mapping[str, Sequence[str]], *, blocked: bool) -> Finding:
    """Judge the user's permissions by those of a worker. `refused` has the refused names for `configure`, `write` and
    `read`. If RabbitMQ has `blocked` the connection, write permissions were not tested."""
    needed = ("configure", "write", "read") if remedies.declares else ("write", "read")
    lacking = {act: refused[act] for act in needed if refused[act]}
    if not lacking:
        known = [act for act in needed if not (blocked and act == "write")]
        return ok("permissions", f"user '{remedies.user}' may {', '.join(known)}")
    sentence = "; ".join(f"may not {act} {some(list(dict.fromkeys(names)))}" for act, names in lacking.items())
    needs = roles.permissions(remedies.names, Role.WORKER, declares=remedies.declares)
    step = "in place of all that this user has here: "
    step += remedies.ctl("set_permissions", remedies.user, needs.configure, needs.write, needs.read)
    if "configure" in lacking:
        step += "; or set declare = false, and let RabbitMQ's administrator import bridge-doctor --definitions"
    return wrong("permissions", f"user '{remedies.user}' {sentence}", step)


def alarms(*, blocked: bool) -> Finding:
    """Judge whether RabbitMQ has blocked publishers."""
    if not blocked:
        return ok("alarms", "RabbitMQ takes publishes")
    sentence = "RabbitMQ has blocked all publishers: it is out of memory or disk space, and defer() raises"
    return wrong("alarms", sentence, "on its host: rabbitmq-diagnostics alarms; free what it names")


def unrouted_messages(remedies: Remedies, count: QueueCount) -> Finding:
    """Judge the queue for messages that did not reach the ledger: it has to be empty."""
    name = remedies.names.unrouted
    if not count.ready:
        return ok("unrouted", f"{name} is empty")
    sentence = f"{counted(count.ready, 'message')} in {name} did not reach the ledger"
    ledger, source = remedies.names.ledger, remedies.names.dead_letters
    step = f"check that {ledger} exists and is bound to {source} by '#', restart the workers, publish these to {source}"
    return wrong("unrouted", sentence, step)


def consumers(counts: Mapping[str, QueueCount], paused: Mapping[str, str]) -> Sequence[Finding]:
    """Judge whether each queue has a consumer. A worker of a paused queue has none; `paused` has the reasons."""
    findings = []
    for queue, count in counts.items():
        sentence = f"queue {queue} has no consumer and holds {counted(count.ready, 'event')}"
        if not count.consumers and queue in paused:
            findings.append(wrong("consumers", f"{sentence}: {paused[queue]}", f"bridge-queues resume {queue}"))
        elif not count.consumers:
            findings.append(wrong("consumers", sentence, "start bridge-worker with these settings"))
    served = [f"{queue} {count.consumers}" for queue, count in counts.items() if count.consumers]
    return [*findings, *([ok("consumers", some(served, 10))] if served else [])]


def waiting_events(counts: Mapping[str, QueueCount], on_the_ladder: int) -> Finding:
    """Report the waiting events. Their age is unknown, because reading an event over AMQP means taking it."""
    ready = [f"{queue} {count.ready}" for queue, count in counts.items() if count.ready]
    return ok("waiting", f"ready: {some(ready, 10) or 'nothing'}; {on_the_ladder} wait for their time")


def consumer_timeouts(queues: Sequence[Queue], by_policy: Mapping[str, timedelta]) -> Sequence[Finding]:
    """Judge whether the queues' deadlines are shorter than RabbitMQ's consumer timeout: its default, or the value of a
    policy. The deadline up to which a listener may extend it counts too."""
    late = [queue for queue in queues if queue.longest >= by_policy.get(queue.name, CONSUMER_TIMEOUT)]
    if not late:
        longest = max((queue.deadline for queue in queues), default=timedelta())
        sentence = f"a replay may last {_seconds(longest)}, which is below RabbitMQ's consumer timeout"
        return [ok("timeout", f"{sentence} (30 min, unless rabbitmq.conf says otherwise)")]
    return [_late(queue, by_policy.get(queue.name)) for queue in late]


def _late(queue: Queue, by_policy: timedelta | None) -> Finding:
    """Report a deadline that may be longer than the consumer timeout. The value in rabbitmq.conf is unknown."""
    extended = queue.deadline < (by_policy or CONSUMER_TIMEOUT)
    lasts, shorter = (
        (f"{_seconds(queue.longest)} if its listener asks for more time", "a shorter deadline_at_most")
        if extended
        else (_seconds(queue.deadline), "a shorter deadline")
    )
    longest = queue.longest if extended else queue.deadline
    sentence = f"queue {queue.name}: a replay may last {lasts}, but RabbitMQ takes back deliveries that are held for"
    enough = int(longest.total_seconds()) * 2000
    if by_policy is not None:
        step = f"{shorter}, or a policy with a consumer-timeout of {enough}"
        return wrong("timeout", f"{sentence} {_seconds(by_policy)}", step)
    step = (
        f"{shorter}; or a policy with a consumer-timeout of {enough} (RabbitMQ 3.12 and later); or in "
        f"rabbitmq.conf: consumer_timeout = {enough}, which bridge-doctor cannot read"
    )
    return unknown("timeout", f"{sentence} {_seconds(CONSUMER_TIMEOUT)} unless rabbitmq.conf says otherwise", step)


def without_management(remedies: Remedies, why: NoAnswer, *, compared: bool) -> Sequence[Finding]:
    """Return the findings for a management API that does not answer: all that only this API reports is unknown.
    `compared`: the queues were compared over AMQP."""
    step = "on RabbitMQ's host: rabbitmq-plugins enable rabbitmq_management; or set management_url to its address"
    if why.refused:
        tag = shlex.join(["rabbitmqctl", "set_user_tags", remedies.management.user, "management"])
        step = f"correct the login of management_url; or, if that user has no tags: {tag}"
    findings = [
        unknown("management", str(why), step),
        unknown(
            "bindings",
            "AMQP does not report them",
            f"compare with bridge-doctor --definitions: {remedies.ctl('list_bindings')}",
        ),
        unknown("policies", "AMQP does not report them", f"none should bound a queue: {remedies.ctl('list_policies')}"),
        unknown("clock", "AMQP does not report RabbitMQ's", "compare, here and on RabbitMQ's host: date -u"),
    ]
    if not compared:
        step = f"compare with bridge-doctor --definitions: {remedies.ctl('list_queues', 'name', 'arguments')}"
        findings.append(
            unknown("topology", f"user '{remedies.user}' may not compare how the queues are declared", step)
        )
    return findings


def _seconds(time: timedelta) -> str:
    return f"{time.total_seconds():g} s"


def unreachable(where: Address, user: str, error: BaseException) -> Finding:
    """Return the finding for a host to which no connection could be made. `error` is the error of `connect`."""
    if isinstance(error, BrokerRefused):
        return _refused_connection(where, user, str(error))
    why = error_text(error)
    if caused_by(error, socket.gaierror):
        return _away(where, why, "correct the host in broker_url")
    if caused_by(error, ConnectionRefusedError):
        return _away(where, why, "start it: systemctl start rabbitmq-server; or correct broker_url")
    if caused_by(error, ssl.SSLCertVerificationError):
        step = "set tls_ca to the file of the authority that signs RabbitMQ's certificate; or correct the host's name"
        return _away(where, why, step)
    if caused_by(error, ssl.SSLError):
        return _away(where, why, "correct broker_url: amqps:// with TLS, amqp:// without")
    if caused_by(error, TimeoutError):
        step = "on its host: rabbitmq-diagnostics check_running; and see whether a firewall is between"
        return _away(where, f"{why}: it hangs, or something else listens there", step)
    return _away(where, why, "correct the host and the port; on RabbitMQ's host: rabbitmq-diagnostics check_running")


def _refused_connection(where: Address, user: str, refusal: str) -> Finding:
    vhost = shlex.quote(where.vhost)
    if "refuses the login" in refusal:
        step = f"correct the user or password in broker_url; to try: rabbitmqctl authenticate_user {shlex.quote(user)}"
    elif "not found" in refusal:
        step = f"rabbitmqctl add_vhost {vhost}; or correct broker_url"
    else:
        step = f"rabbitmqctl set_permissions -p {vhost} {shlex.quote(user)} '.*' '.*' '.*' (or narrower ones)"
    return wrong("broker", refusal, step)


def _away(where: Address, why: str, next_step: str) -> Finding:
    return wrong("broker", f"RabbitMQ at {where} cannot be reached: {why}", next_step)
