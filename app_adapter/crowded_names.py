"""The search for an event name with more listeners than an event can remember as finished.

It walks over all names at once, as an automaton: the patterns of all listeners with the places that they can have
reached. A branch ends where too few listeners are left to exceed the limit, so an ordinary app costs nothing.
"""

import itertools
from collections import Counter
from collections.abc import Iterable
from heapq import heappop, heappush

from bridge.topics import matcher

STEPS = 2000
"""Most steps of the automaton that the search takes, some tenths of a second of work. The states that the most
listeners match come first. Patterns with many `#` can have more states; then the search finds nothing, and an event
that too many listeners match fails when it is replayed."""

Places = frozenset[tuple[frozenset[str], str, int]]
"""Reached places: the patterns of a listener, one of these patterns, and the place in it."""


def crowded_name(listeners: Iterable[tuple[Iterable[str], int]], most: int) -> str | None:
    """Return an event name whose listeners have more than `most` of size in all; None if the search finds none.

    A listener is given as its patterns and its size.
    """
    sizes: Counter[frozenset[str]] = Counter()
    for patterns, size in listeners:
        sizes[frozenset(patterns)] += size

    def sum_of(groups: Iterable[frozenset[str]]) -> int:
        return sum(sizes[group] for group in set(groups))

    start: Places = frozenset(
        (group, pattern, place) for group in sizes for pattern in group for place in matcher(pattern).begin()
    )
    order = itertools.count()  # decides between states of the same size
    pending: list[tuple[int, int, Places, tuple[str, ...]]] = [(0, next(order), start, ())]
    seen: set[Places] = set()
    steps = 0
    while pending and steps < STEPS:
        _, _, places, words = heappop(pending)
        if sum_of(group for group, _, _ in places) <= most:
            continue
        for word in _next_words(places):
            steps += 1
            after = _after(places, word)
            if after in seen:
                continue
            seen.add(after)
            matching = sum_of(group for group, pattern, place in after if matcher(pattern).ends(place))
            if matching > most:
                return ".".join((*words, word))
            heappush(pending, (-matching, next(order), after, (*words, word)))
    return None


def _after(places: Places, word: str) -> Places:
    return frozenset(
        (group, pattern, after) for group, pattern, place in places for after in matcher(pattern).after({place}, word)
    )


def _next_words(places: Places) -> list[str]:
    """Return the words that patterns name at these places, and one that no pattern names, for `*` and `#`."""
    named = {matcher(pattern).words[place] for _, pattern, place in places if not matcher(pattern).ends(place)}
    named -= {"*", "#"}
    other = "any"
    while other in named:
        other += "-other"
    return [*sorted(named), other]
