"""The permissions on RabbitMQ that each role of a site needs, as the patterns of `rabbitmqctl set_permissions`."""

import re
import shlex
from dataclasses import dataclass

from bridge.brokers.contract.roles import Role
from bridge.brokers.rabbitmq.topology.names import Names

NOTHING = "^$"


@dataclass(frozen=True, slots=True)
class Permissions:
    """Three patterns of names: what a user may configure, write and read."""

    configure: str
    write: str
    read: str


def permissions(names: Names, role: Role, *, declares: bool) -> Permissions:
    """Return the permissions of a role. `declares`: the app and the worker declare the topology."""
    own = f"^{re.escape(names.namespace)}\\."
    if declares and role is Role.MAILBOX:
        made = f"{own}mailbox(es$|\\.)"
        return Permissions(made, made, f"{own}(question$|mailbox(es$|\\.))")
    if declares and role in (Role.WEB, Role.WORKER):
        return Permissions(own, own, own)
    logs = "log\\.(controls|cancellations)$"
    publishes = "events(\\.(high|low))?|direct|delay\\.[0-9]+"
    # To ask the workers for their status, a program declares an exclusive queue for the answers.
    asks, answers = "broadcast", f"{own}listener\\."
    # Each connection may ask, by the queue `question`, whether its node is cut off from the cluster. Who calls has a
    # queue of its own for the answers; a worker declares the queues of the calls that it takes.
    match role:
        case Role.WEB:
            return Permissions(
                f"{own}answers\\.",
                f"{own}(({publishes}|calls|mailboxes)$|answers\\.)",
                f"{own}(question$|answers(\\.|$)|mailbox\\.)",
            )
        case Role.WORKER:
            # Of its own: queues for calls and answers, for questions about its status and their answers, and claims.
            owned = "answers|calls|listener|claim"
            return Permissions(
                f"{own}({owned})\\.",
                f"{own}(({publishes}|dlx|broadcast|calls|answers|mailboxes)$|({owned})\\.)",
                f"{own}(q\\.|mailbox\\.|log\\.|(dead|question|broadcast|calls|answers)$|({owned})\\.)",
            )
        case Role.MAILBOX:
            return Permissions(NOTHING, f"{own}mailboxes$", f"{own}(question$|mailbox\\.)")
        case Role.READER:
            read = f"{own}(dead|question|log\\.(history|workers|failures|plans)|{asks})$"
            return Permissions(answers, f"{own}{asks}$|{answers}", f"{read}|{answers}")
        case Role.DECIDER:
            # The process that carries out a plan holds a claim of the plan's name. --when-released asks the workers.
            owned = r"(deciding$|claim\.|listener\.)"
            read = rf"(dead|question|log\.(history|failures|plans|workers)|{asks})$"
            write = rf"(({publishes}|dlx|{asks})$|claim\.|listener\.)"
            return Permissions(f"{own}{owned}", f"{own}{write}", f"{own}({read}|{owned})")
        case Role.OPERATOR:
            # RabbitMQ 4.2.6 and later tells the count of a delay queue only to a user with a right to it.
            read = f"{own}(q\\.|(question|log\\.workers|{asks})$|{logs}|listener\\.)"
            return Permissions(answers, f"{own}(direct|delay\\.[0-9]+|{asks})$|{answers}", read)
        case Role.DOCTOR:
            return Permissions(NOTHING, NOTHING, NOTHING)


def commands(names: Names, vhost: str, role: Role, *, declares: bool) -> str:
    """Return the commands that make a user of this role. None has a password: `add_user` asks for one."""
    user, may = f"{names.namespace}-{role}", permissions(names, role, declares=declares)
    lines = [
        ["rabbitmqctl", "add_user", user],
        ["rabbitmqctl", "set_permissions", "-p", vhost, user, may.configure, may.write, may.read],
    ]
    if role is Role.DOCTOR:
        lines.append(["rabbitmqctl", "set_user_tags", user, "monitoring"])
    return "\n".join(map(shlex.join, lines))
