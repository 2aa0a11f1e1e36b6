"""Receivers of signals as an app has them, in a module, and what they were called with."""

from typing import Any

calls: list[tuple[str, Any, dict[str, Any]]] = []
"""The receiver's name, the sender and the arguments of each call. A test clears it."""

failing: dict[str, BaseException] = {}
"""What receivers raise after they have noted their call."""


def _note(name: str, sender: Any, arguments: dict[str, Any]) -> None:
    calls.append((name, sender, arguments))
    if name in failing:
        raise failing[name]


def send_receipt(sender: Any, **arguments: Any) -> None:
    """Note a call."""
    _note("send_receipt", sender, arguments)


def book(sender: Any, **arguments: Any) -> None:
    """Note a call."""
    _note("book", sender, arguments)


async def ship(sender: Any, *, order: Any) -> None:
    """Note a call."""
    _note("ship", sender, {"order": order})


class Mailer:
    """An object with a receiver."""

    def paid(self, sender: Any, **arguments: Any) -> None:
        """Note a call."""
        _note("paid", sender, arguments)


mailer = Mailer()


def names() -> list[str]:
    """Return the names of the receivers that were called, in order."""
    return [name for name, _, _ in calls]
