"""The rate of a queue's events, as a setting. `rates` applies it. Pure."""

import re
from dataclasses import dataclass
from math import inf

_UNITS = {"s": 1, "m": 60, "h": 3600}
_LEAST = 1e-9
"""The least rate: one event in some thirty years."""
_RATE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*/\s*([smh])\s*")


@dataclass(frozen=True, slots=True)
class Rate:
    """A number of events in a second, a minute or an hour: `unit` is `s`, `m` or `h`."""

    events: float
    unit: str

    def __str__(self) -> str:
        return f"{self.events:g}/{self.unit}"

    @property
    def per_second(self) -> float:
        """The events in a second."""
        return self.events / _UNITS[self.unit]

    @classmethod
    def parsed(cls, text: object) -> "Rate":
        """Return the rate of a text such as `10/s`, `30/m` or `100/h`. Raise `ValueError` for any other value."""
        match = _RATE.fullmatch(text) if isinstance(text, str) else None
        rate = None if match is None else cls(float(match[1]), match[2])
        if rate is None or not _LEAST <= rate.per_second < inf:
            raise ValueError("expected a rate above 0, such as '10/s', '30/m' or '100/h'")
        return rate
