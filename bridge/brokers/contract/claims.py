"""The broker's promise about claims: an exclusive right with a name. It ends when its holder ends, never by a clock."""

from typing import Protocol

from bridge.errors import BrokerRefused


class ClaimTaken(BrokerRefused):
    """Another process holds the claim. `holder` names that process for people; empty if the broker does not know it."""

    def __init__(self, message: str, holder: str = "") -> None:
        super().__init__(message)
        self.holder = holder


class Claim(Protocol):
    """A claim that this process got. RabbitMQ may give it to another process some seconds before this process notices
    that its connection broke. An action under a claim must therefore be safe to run twice at that moment."""

    @property
    def held(self) -> bool:
        """True if this process still holds the claim, as far as it knows."""

    async def until_lost(self) -> None:
        """Return when the claim is lost: its connection broke, or an operator removed it."""
