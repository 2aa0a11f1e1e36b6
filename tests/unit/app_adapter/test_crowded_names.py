"""The search for an event name that too many listeners match."""

import itertools

import pytest

from app_adapter.crowded_names import crowded_name
from bridge.topics import matches

FOUND: list[tuple[list[list[str]], int]] = [
    ([["a"], ["a"], ["a"]], 2),
    ([["a.b"], ["a.*"], ["*.b"], ["#"]], 3),
    ([["a.#"], ["#.b"], ["*.*.*"]], 2),
    ([["a.*.c"], ["#.b.#"], ["a.#.c"]], 2),
    ([["*"], ["any"], ["#"]], 2),
    ([["#"], ["#"], ["#"]], 2),
    ([["x", "a"], ["y", "a"], ["z", "a"]], 2),
    ([["#.#"], ["*.#"], ["any.any-other"]], 2),
    ([[f"#.{word}.#"] for word in "abcdefghijklmnopqrst"], 19),
]


@pytest.mark.parametrize(("listeners", "most"), FOUND)
def test_a_name_that_too_many_match_is_found(listeners: list[list[str]], most: int) -> None:
    """It is a real event name, which more than the limit match."""
    name = crowded_name([(patterns, 1) for patterns in listeners], most)

    assert name is not None
    assert sum(any(matches(pattern, name) for pattern in patterns) for patterns in listeners) > most


NOT_FOUND: list[tuple[list[list[str]], int]] = [
    ([["a"], ["b"], ["c"]], 1),
    ([["a", "a", "a"]], 1),
    ([["a.*"], ["a"], ["a.*.*"]], 1),
    ([["a.#"], ["b.#"], ["*"]], 2),
    ([["*.a"], ["*.b"], ["#.c"]], 1),
    ([["a", "b"], ["b", "c"], ["c", "a"]], 2),
    ([], 0),
]


@pytest.mark.parametrize(("listeners", "most"), NOT_FOUND)
def test_listeners_that_do_not_meet_are_not_counted_together(listeners: list[list[str]], most: int) -> None:
    """Listeners of different events are no crowd, and neither are the patterns of one listener."""
    assert crowded_name([(patterns, 1) for patterns in listeners], most) is None


def test_an_app_of_many_listeners_is_examined_at_once() -> None:
    """Each branch ends where too few listeners are left."""
    words = ["order", "account", "mail", "stock", "price"]
    patterns = [".".join(each) for each in itertools.product(words, ["created", "paid", "*", "#"], words)]

    assert crowded_name([([pattern], 1) for pattern in patterns * 6], 100) is None


def test_the_search_ends_where_patterns_make_too_many_states() -> None:
    """Then nothing is found; the receiver refuses the event when it comes."""
    listeners = [[f"#.{word}.#"] for word in "abcdefghijklmnopqrst"]

    assert crowded_name([(patterns, 1) for patterns in [*listeners, ["#.x"], ["#.y"]]], 21) is None


def test_the_sizes_of_listeners_are_added() -> None:
    """One long name takes the room of many short ones."""
    assert crowded_name([(["a.*"], 5), (["*.b"], 5), (["c.b"], 100)], 105) is None
    assert crowded_name([(["a.*"], 5), (["*.b"], 6), (["c.b"], 100)], 105) == "c.b"
