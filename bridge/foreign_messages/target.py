"""The program for which a message of an older bridge is meant, and the request for it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Target:
    """A program: the absolute path of its script, and the address `host:port` of its FastCGI server. In settings, an
    empty address stands for any."""

    script: str
    address: str = ""

    def __str__(self) -> str:
        return f"{self.script!r:.200} at {self.address!r:.100}"

    def allows(self, asked: "Target") -> bool:
        """Return True if this target of the settings is the one that a message asks for."""
        return asked.script == self.script and self.address in ("", asked.address)


@dataclass(frozen=True, slots=True)
class ForeignRequest:
    """The request that an older bridge would send to a program: its own parameters, and the body. Without a target, the
    program is that of the settings."""

    target: Target | None
    body: bytes
    parameters: Mapping[str, str] = field(default_factory=dict)
    content_type: str = FORM
