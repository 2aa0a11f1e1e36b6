"""Event names, and the patterns that match them by the rules of AMQP topics.

A name is dotted words, at most 200 bytes. In a pattern `*` stands for one word and `#` for zero or more words, so
`product.#` matches the whole branch of the event tree.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from bridge.errors import InvalidName, shown

NAME_GRAMMAR = r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*"
MAX_NAME_BYTES = 200

RESERVED = "bridge."
"""The beginning of the names of internal events, which only the bridge publishes."""

DEAD_LETTER = "bridge.dead_letter."
"""The beginning of the names of the internal events about dead letters. The reason is the last word."""

WORKER_MISSING = "bridge.worker.missing"
"""The name of the internal event about a worker that has gone without a word."""

BENCHMARK = "bridge.benchmark"
"""The name of the internal events of `bridge-bench`. In the app, a listener that does nothing takes them."""

SIGNAL = "signal."
"""The beginning of the names of the events of signals, in which receivers run. The second word is the signal's
name, and the others are the receiver's."""

METHOD = "method."
"""The beginning of the names of the events of a model's methods. The second word is the model's, and the third the
method's name."""

EXPECTED_NAME = f"expected dotted words of A-Z a-z 0-9 _ -, such as 'account.created', at most {MAX_NAME_BYTES} bytes"
EXPECTED_PATTERN = (
    "expected dotted words of A-Z a-z 0-9 _ -, '*' (one word) or '#' (any number of words), such as 'product.#', at "
    f"most {MAX_NAME_BYTES} bytes"
)

_NAME = re.compile(NAME_GRAMMAR)
_PATTERN_WORD = re.compile(r"[A-Za-z0-9_-]+|\*|#")


def is_name(text: object) -> bool:
    """Return whether `text` is an event name."""
    return isinstance(text, str) and len(text) <= MAX_NAME_BYTES and _NAME.fullmatch(text) is not None


def is_reserved(name: str) -> bool:
    """Return whether a name, or a pattern, begins with the word that is reserved for internal events."""
    return name.startswith(RESERVED)


def check_name(name: object) -> str:
    """Return `name` if it is an event name. Otherwise raise `InvalidName`, which quotes the name and says what was
    expected."""
    if not isinstance(name, str) or not is_name(name):
        raise InvalidName(f"event name {_shortened(name)}: {EXPECTED_NAME}")
    return name


def check_pattern(pattern: object) -> str:
    """Return `pattern` if it is a pattern. Otherwise raise `ValueError`, which quotes it and says what was expected."""
    if (
        not isinstance(pattern, str)
        or len(pattern) > MAX_NAME_BYTES
        or not all(_PATTERN_WORD.fullmatch(word) for word in pattern.split("."))
    ):
        raise ValueError(f"pattern {_shortened(pattern)}: {EXPECTED_PATTERN}")
    return pattern


@lru_cache(maxsize=1024)
def matches(pattern: str, name: str) -> bool:
    """Return whether the pattern matches the event name."""
    found = matcher(pattern)
    reached = found.begin()
    for word in name.split("."):
        reached = found.after(reached, word)
    return any(found.ends(place) for place in reached)


class Matcher:
    """A pattern that was split into words once. The caller walks over the words of a name with the set of places in the
    pattern that they can have reached. So every pattern takes at most words × places steps, even with many `#`."""

    def __init__(self, pattern: str) -> None:
        self.words = tuple(pattern.split("."))

    def begin(self) -> set[int]:
        """Return the places before the first word of a name."""
        return self._past_hashes({0})

    def after(self, places: Iterable[int], word: str) -> set[int]:
        """Return the places that can be reached from these places by one word."""
        return self._past_hashes({place for at in places for place in self._next(at, word)})

    def ends(self, place: int) -> bool:
        """Return whether the pattern matches a name that ends at this place."""
        return place == len(self.words)

    def _next(self, at: int, word: str) -> tuple[int, ...]:
        if self.ends(at):
            return ()
        if self.words[at] == "#":
            return (at,)
        return (at + 1,) if self.words[at] in ("*", word) else ()

    def _past_hashes(self, places: set[int]) -> set[int]:
        result = set(places)
        for at in sorted(places):
            while not self.ends(at) and self.words[at] == "#":
                at += 1
                result.add(at)
        return result


@lru_cache(maxsize=1024)
def matcher(pattern: str) -> Matcher:
    """Return the matcher of a pattern."""
    return Matcher(pattern)


def _shortened(value: object) -> str:
    text = shown(value, 121)
    return text if len(text) <= 120 else f"{text[:117]}..."
