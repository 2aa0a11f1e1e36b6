"""The broker as one process uses it."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from bridge.brokers.contract.broadcast import Broadcast
from bridge.brokers.contract.calling import Caller, CallServer
from bridge.brokers.contract.claims import Claim
from bridge.brokers.contract.consuming import Consumer
from bridge.brokers.contract.ledger import Ledger
from bridge.brokers.contract.logs import Log
from bridge.brokers.contract.mailboxes import Mailboxes
from bridge.brokers.contract.operating import QueueOperator
from bridge.brokers.contract.publishing import Publisher
from bridge.logs import KEEP_ALL, Retention
from bridge.queues import Queue


class Broker(Protocol):
    """The broker of one process: it makes publishers, consumers and the rest. It connects at the first use."""

    @property
    def name(self) -> str:
        """The kind of broker and its address, for people, without a password."""

    @property
    def trouble(self) -> str:
        """The reason why `prepare` or `declare` waits, for people; empty if they do not."""

    async def declare(self, queues: Sequence[Queue]) -> None:
        """Declare the queues with their patterns. Raise `BrokerUnavailable`, or `BrokerRefused` if an object of the
        same name exists with other properties."""

    async def prepare(self, queues: Sequence[Queue]) -> None:
        """Get ready to publish to these queues, without a question to a server: a local file is declared now, and a
        server is asked for missing queues when a publish shows that some are missing. Raise what `declare` raises."""

    def publisher(self) -> Publisher: ...

    def consumer(self) -> Consumer: ...

    def ledger(self) -> Ledger: ...

    def log(self, name: str, retention: Retention = KEEP_ALL) -> Log:
        """Return the log of this name. All programs that use a log pass the same retention. Names of logs, claims and
        subjects follow the rules for names of queues: lower-case words."""

    def claim(self, name: str) -> AbstractAsyncContextManager[Claim]:
        """Hold the claim of this name while the block runs. Raise `ClaimTaken` at once if another process holds it,
        with the holder's name as far as the broker knows it; else `BrokerUnavailable` or `BrokerRefused`."""

    def broadcast(self, subject: str) -> Broadcast:
        """Return the broadcasts of this subject."""

    def caller(self) -> Caller: ...

    def call_server(self) -> CallServer: ...

    def mailboxes(self) -> Mailboxes: ...

    def operator(self) -> QueueOperator:
        """Return the operator, who counts and purges queues."""

    async def close(self) -> None:
        """Close every connection."""
