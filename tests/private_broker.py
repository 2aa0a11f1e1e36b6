"""The base class of private RabbitMQ nodes and clusters: they exist for the duration of a `with` block."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class PrivateBroker(ABC):
    """A private broker; a context manager that starts it on entry and removes it on exit."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:  # Ctrl-C too: __exit__ is not called after a failed __enter__
            self.remove()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.remove()

    @abstractmethod
    def start(self) -> None:
        """Start the broker, and return when it serves AMQP."""

    @abstractmethod
    def remove(self) -> None:
        """End the broker, and remove its files."""
