"""Judges rights that no role of the site needs: on objects of others, or to declare what an administrator imports."""

from collections.abc import Sequence
from dataclasses import dataclass

from bridge.brokers.contract.findings import Finding, ok, wrong
from bridge.brokers.rabbitmq.inspection.probe import Probe
from bridge.brokers.rabbitmq.inspection.remedies import Remedies

DEFAULT_EXCHANGE = ""
DEVELOPMENT = "guest"
"""RabbitMQ's own user, who may do everything and connects from the same machine only."""


@dataclass(frozen=True, slots=True)
class Rights:
    """Rights of a user beyond the site's namespace, and the right to declare within it."""

    configure: bool
    write: bool
    read: bool
    declare: bool


async def ask(probe: Probe, remedies: Remedies) -> Rights:
    """Ask RabbitMQ by requests that it refuses in any case."""
    outside = f"{remedies.names.namespace}-outside"
    return Rights(
        configure=await probe.may_configure(outside),
        write=await probe.may_write(DEFAULT_EXCHANGE),
        read=await probe.may_read(outside),
        declare=await probe.may_configure(remedies.names.queue("")),
    )


def judge(remedies: Remedies, rights: Rights) -> Sequence[Finding]:
    """Judge the rights. `guest` is for development, and the doctor reports it where it leaves the machine."""
    if remedies.user == DEVELOPMENT:
        return []
    wide = [act for act in ("configure", "write", "read") if getattr(rights, act)]
    sentences = []
    if wide:
        reached = "; to write to amq.default is to write to every queue" if rights.write else ""
        sentences.append(f"may {', '.join(wide)} objects of other namespaces{reached}")
    if rights.declare and not remedies.declares:
        sentences.append("may configure the site's objects, although declare = false")
    if not sentences:
        return [ok("rights", f"user '{remedies.user}' has none beyond the namespace")]
    step = "give each program the user of its role: bridge-doctor --permissions worker"
    return [wrong("rights", f"user '{remedies.user}' {' and '.join(sentences)}", step)]
