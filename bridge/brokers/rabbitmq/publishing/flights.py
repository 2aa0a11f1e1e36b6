"""Publishes in flight that no task waits for. Each ends with RabbitMQ's answer, or at its deadline."""

from bridge.brokers.any_broker.expiries import Expiries
from bridge.brokers.rabbitmq.publishing.confirming import Answered
from bridge.brokers.rabbitmq.publishing.recovery import Renewal
from bridge.brokers.rabbitmq.publishing.silence import Silence
from bridge.deadline import Deadline


class Expired(Exception):
    """No answer came before the deadline."""


class Flights:
    """The flights of one sender. `silence` and `renewal` count them, like the publishes that tasks wait for."""

    def __init__(self, silence: Silence, renewal: Renewal) -> None:
        self._silence = silence
        self._renewal = renewal
        self._expiries = Expiries()

    def begin(self, deadline: Deadline, ended: Answered) -> Answered:
        """Begin a flight, and return the function that takes its answer. `ended` is called once: with the answer, or
        with `Expired` at the deadline."""
        is_over = False
        self._silence.begin()
        self._renewal.begin()

        def end(answer: Exception | None) -> None:
            nonlocal is_over
            if is_over:
                return  # the answer came after the deadline
            is_over = True
            self._expiries.discard(number)
            self._silence.end(answered=not isinstance(answer, Expired))
            self._renewal.end()
            ended(answer)

        number = self._expiries.add(deadline, lambda: end(Expired()))
        return end
