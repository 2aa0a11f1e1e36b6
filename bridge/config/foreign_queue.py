"""The key `foreign` of `[queues.<name>]`: a queue of an older bridge, whose messages become events of this queue."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from bridge.config.foreign_pool import AbsolutePath, Address
from bridge.config.notation import YesOrNo, one_of, text
from bridge.config.reading import Problem, Unreadable, sequence, table
from bridge.foreign_messages.source import ForeignSource, Format
from bridge.foreign_messages.target import Target
from bridge.topics import is_name, is_reserved

MAX_QUEUE_NAME = 248
"""Bytes of the name of an AMQP queue, with room for `_errors`."""


def _queue_name(value: object) -> str:
    if not 0 < len(text(value).encode()) <= MAX_QUEUE_NAME:
        raise ValueError(f"expected the name of a queue on RabbitMQ, at most {MAX_QUEUE_NAME} bytes")
    return text(value)


def _event_name(value: object) -> str:
    if not is_name(value) or is_reserved(text(value)):
        raise ValueError("expected the name of an event, such as 'legacy.command'")
    return text(value)


def _tcp_address(value: object) -> str:
    address = Address.parsed(value)
    if address.path is not None:
        raise ValueError("expected 'host:port', as the messages have it")
    return str(address)


@dataclass(frozen=True)
class TargetSettings:
    """A program that messages may name. Without an address, it may be at any."""

    script: AbsolutePath
    address: Annotated[str, _tcp_address] = ""


_target_table = table(TargetSettings)


def _target(value: object) -> TargetSettings:
    read: TargetSettings = _target_table({"script": value} if isinstance(value, str) else value)
    return read


_targets: Callable[[object], tuple[TargetSettings, ...]] = sequence(_target)


@dataclass(frozen=True)
class ForeignQueueSettings:
    """The table `foreign = {…}` of one queue. See docs/older-bridges.md."""

    queue: Annotated[str, _queue_name]
    format: Annotated[Format, one_of("fervo", "mq2php", "amqp-cgi-bridge")]
    event: Annotated[str, _event_name]
    targets: Annotated[tuple[TargetSettings, ...], _targets] = ()
    errors: YesOrNo = False

    def __post_init__(self) -> None:
        """Raise `Unreadable` for what amqp-cgi-bridge does not have."""
        if self.format == "amqp-cgi-bridge":
            expected = "expected none of it for the format amqp-cgi-bridge, whose messages name no program"
            given = {"targets": self.targets, "errors": self.errors}
            if problems := [Problem((key,), value, expected) for key, value in given.items() if value]:
                raise Unreadable(problems)

    def source(self) -> ForeignSource:
        """Return the queue from which messages are taken."""
        targets = tuple(Target(each.script, each.address) for each in self.targets)
        return ForeignSource(self.queue, self.format, self.event, targets, self.errors)


def check_foreign(foreign: "ForeignQueueSettings | None", *, ordered: bool) -> None:
    """Raise `Unreadable` for a foreign queue of an ordered queue: several workers take its messages at a time."""
    if foreign is not None and ordered:
        problem = Problem(
            ("foreign",), foreign.queue, "expected no ordered = true: workers take these messages together"
        )
        raise Unreadable([problem])
