"""Event names and patterns, and how one matches the other: exactly as AMQP topics match.

A name is dotted words, at most 200 bytes. In a pattern `*` stands for one word and `#` for any number of words, none
included, so `product.#` takes the whole branch of the event tree.
"""

import re
from functools import lru_cache

from bridge.errors import InvalidName

NAME_GRAMMAR = r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*"
MAX_NAME_BYTES = 200

_NAME = re.compile(NAME_GRAMMAR)
_PATTERN_WORD = re.compile(r"[A-Za-z0-9_-]+|\*|#")


def is_name(text: object) -> bool:
    """Tell whether `text` is an event name."""
    return isinstance(text, str) and len(text) <= MAX_NAME_BYTES and _NAME.fullmatch(text) is not None


def check_name(name: object) -> str:
    """Return `name` if it is an event name, else raise `InvalidName`, which quotes it and says what was expected."""
    if not isinstance(name, str) or not is_name(name):
        raise InvalidName(
            f"event name {_shortened(name)}: expected dotted words of A-Z a-z 0-9 _ -, such as 'account.created', "
            f"at most {MAX_NAME_BYTES} bytes"
        )
    return name


def check_pattern(pattern: object) -> str:
    """Return `pattern` if it is one, else raise `ValueError`, which quotes it and says what was expected."""
    if (
        not isinstance(pattern, str)
        or len(pattern) > MAX_NAME_BYTES
        or not all(_PATTERN_WORD.fullmatch(word) for word in pattern.split("."))
    ):
        raise ValueError(
            f"pattern {_shortened(pattern)}: expected dotted words of A-Z a-z 0-9 _ -, where a word may be "
            f"'*' (one word) or '#' (any number of words), such as 'product.#', at most {MAX_NAME_BYTES} bytes"
        )
    return pattern


def matches(pattern: str, name: str) -> bool:
    """Tell whether an event of this name is one that the pattern takes."""
    return _matcher(pattern)(tuple(name.split(".")))


class _Matcher:
    """A pattern, taken apart once. Walks the words with the set of places in the pattern that they can have reached,
    so that no pattern, however many `#` it has, takes more than words times places steps."""

    def __init__(self, pattern: str) -> None:
        self._words = tuple(pattern.split("."))

    def __call__(self, name: tuple[str, ...]) -> bool:
        reached = self._past_hashes({0})
        for word in name:
            reached = self._past_hashes({place for at in reached for place in self._after(at, word)})
        return len(self._words) in reached

    def _after(self, at: int, word: str) -> tuple[int, ...]:
        if at == len(self._words):
            return ()
        if self._words[at] == "#":
            return (at,)
        return (at + 1,) if self._words[at] in ("*", word) else ()

    def _past_hashes(self, places: set[int]) -> set[int]:
        result = set(places)
        for at in sorted(places):
            while at < len(self._words) and self._words[at] == "#":
                at += 1
                result.add(at)
        return result


@lru_cache(maxsize=1024)
def _matcher(pattern: str) -> _Matcher:
    return _Matcher(pattern)


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
