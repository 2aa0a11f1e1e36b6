"""What RabbitMQ nodes and clusters of a test's own have in common: they are there within a `with` block."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class PrivateBroker(ABC):
    """A broker of a test's own. A context manager: started on entry, removed on exit."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:  # Ctrl-C, too: nothing else would remove what has begun
            self.remove()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.remove()

    @abstractmethod
    def start(self) -> None:
        """Start it, and return when it serves."""

    @abstractmethod
    def remove(self) -> None:
        """End it, and remove all that it has left."""
