"""How long to wait before trying again what depends on somebody else: a broker, a foreign pool."""

import random
from collections.abc import Iterator


def back_off() -> Iterator[float]:
    """Yield the seconds to wait before each further try: growing, jittered, at most ten."""
    wait = 0.2
    while True:
        yield wait * random.uniform(0.5, 1)
        wait = min(wait * 2, 10)
