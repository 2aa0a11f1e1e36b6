"""The roles of a site's users on its broker. Each needs other permissions, so each can have a user of its own."""

from enum import StrEnum


class Role(StrEnum):
    """A role, by the programs that need it."""

    WEB = "web"
    """The processes that call `defer()`, `bridge-defer` and `bridge-relay`."""
    WORKER = "worker"
    """`bridge-worker`. Its children run the app, so it may also publish what a web process may."""
    MAILBOX = "mailbox"
    """Programs that use mailboxes and nothing else, such as `bridge-mailbox`."""
    READER = "reader"
    """`bridge-dlq list`, `show`, `groups`, `plans`; `bridge-events list`, `show`, `watch`; `bridge-status --site`."""
    DECIDER = "decider"
    """`bridge-dlq redrive`, `discard`, its decisions about groups, and its plans."""
    OPERATOR = "operator"
    """`bridge-queues` and `bridge-events cancel`."""
    DOCTOR = "doctor"
    """`bridge-doctor`'s questions to RabbitMQ's management, as the user of `management_url`."""
