"""The names of all objects of one namespace on RabbitMQ."""

from dataclasses import dataclass

from bridge.handling import Priority

LANES = (Priority.NORMAL, Priority.HIGH, Priority.LOW)
"""The priorities for which there are exchanges and queues. Those of the first one have no suffix."""


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one namespace."""

    namespace: str

    @property
    def events(self) -> str:
        """The exchange to which events are published by name."""
        return f"{self.namespace}.events"

    @property
    def rest(self) -> str:
        """The exchange for events that no pattern took."""
        return f"{self.namespace}.rest"

    @property
    def direct(self) -> str:
        """The exchange to which messages for one queue or one log are published, with the name of that queue as their
        key. Permission to publish to RabbitMQ's own default exchange would be permission for all queues of the virtual
        host."""
        return f"{self.namespace}.direct"

    @property
    def delay_out(self) -> str:
        """The exchange for messages that leave the delay ladder."""
        return f"{self.namespace}.delay.out"

    @property
    def delay_rest(self) -> str:
        """The exchange for messages that leave the delay ladder and that no pattern took."""
        return f"{self.namespace}.delay.rest"

    @property
    def delay_nowhere(self) -> str:
        """The exchange and the queue for messages that leave the delay ladder and that no queue takes."""
        return f"{self.namespace}.delay.nowhere"

    @property
    def dead_letters(self) -> str:
        """The exchange of dead letters."""
        return f"{self.namespace}.dlx"

    @property
    def ledger(self) -> str:
        """The stream of dead letters and decisions."""
        return f"{self.namespace}.dead"

    @property
    def unrouted(self) -> str:
        """The exchange and the queue for messages that did not reach the ledger. A message in it means a fault."""
        return f"{self.namespace}.unrouted"

    @property
    def deciding(self) -> str:
        """The exclusive queue that is the right to decide about dead letters."""
        return f"{self.namespace}.deciding"

    @property
    def broadcast(self) -> str:
        """The exchange of broadcasts; a routing key is a subject."""
        return f"{self.namespace}.broadcast"

    @property
    def calls(self) -> str:
        """The exchange of the questions of calls; a routing key is a queue's name."""
        return f"{self.namespace}.calls"

    @property
    def answers(self) -> str:
        """The exchange of the answers to calls; a routing key is the identity of the caller's queue."""
        return f"{self.namespace}.answers"

    @property
    def question(self) -> str:
        """The queue that is always empty. Reading it shows that a node is not cut off from its cluster."""
        return f"{self.namespace}.question"

    @property
    def mailboxes(self) -> str:
        """The exchange of messages to mailboxes; a routing key is the AMQP name of a mailbox's lane. Who may publish to
        it may put no events into queues."""
        return f"{self.namespace}.mailboxes"

    def mailbox(self, name: str, lane: Priority = Priority.NORMAL) -> str:
        """Return the AMQP name of the lane of a mailbox: an AMQP queue for each priority."""
        return f"{self.namespace}.mailbox.{name}{_suffix(lane)}"

    def events_of(self, lane: Priority) -> str:
        """Return the exchange to which events of this priority are published by name."""
        return self.events + _suffix(lane)

    def rest_of(self, lane: Priority) -> str:
        """Return the exchange for events of this priority that no pattern took."""
        return self.rest + _suffix(lane)

    def takes_names(self, exchange: str) -> bool:
        """Return True if events are published to this exchange by name."""
        return exchange == self.events or exchange.startswith(f"{self.events}.")

    def routes_by_name(self, exchange: str) -> bool:
        """Return True if messages of this exchange are routed by the event's name in the routing key, or by its
        destination on the delay ladder."""
        return self.takes_names(exchange) or exchange.startswith((self.rest, f"{self.namespace}.delay."))

    def listener(self, identity: str) -> str:
        """Return the exclusive queue of one listener to broadcasts."""
        return f"{self.namespace}.listener.{identity}"

    def claim(self, name: str) -> str:
        """Return the exclusive queue that is the claim of this name."""
        return f"{self.namespace}.claim.{name}"

    def calls_queue(self, key: str) -> str:
        """Return the queue of calls with this routing key, one of `calls_keys`. It exists while a worker consumes."""
        return f"{self.namespace}.calls.{key}"

    def answers_queue(self, identity: str) -> str:
        """Return the exclusive queue of the answers to one process."""
        return f"{self.namespace}.answers.{identity}"

    def log(self, name: str) -> str:
        """Return the stream that is the log of this name."""
        return f"{self.namespace}.log.{name}"

    def queue(self, name: str, lane: Priority = Priority.NORMAL) -> str:
        """Return the AMQP name of the lane of the queue that is declared as `name`: an AMQP queue for each priority."""
        return f"{self.namespace}.q.{name}{_suffix(lane)}"

    def delay(self, level: int) -> str:
        """Return the exchange and the queue of a level of the delay ladder."""
        return f"{self.namespace}.delay.{level:02}"

    def below(self, level: int) -> str:
        """Return the exchange to which a level of the delay ladder passes its messages."""
        return self.delay(level - 1) if level else self.delay_out


def _suffix(lane: Priority) -> str:
    return "" if lane is Priority.NORMAL else f".{lane.value}"


def calls_keys(queue: str) -> tuple[str, str]:
    """Return the routing keys of the calls to the workers of a queue. The second one is used while the node of a
    cluster is down on which the queue of the first one lives: nobody can declare that queue elsewhere."""
    return queue, f"{queue}.2"
