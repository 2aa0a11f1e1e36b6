"""Event names, patterns, and their matching by the rules of AMQP topics."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import InvalidName
from bridge.topics import check_name, check_pattern, is_name, matches


@pytest.mark.parametrize(
    ("pattern", "taken", "passed_over"),
    [
        ("a", ["a"], ["b", "a.b", "aa"]),
        ("a.*", ["a.b", "a.c"], ["a", "a.b.c", "b.a"]),
        ("a.#", ["a", "a.b", "a.b.c"], ["b", "ab", "b.a"]),
        ("#", ["a", "a.b", "a.b.c.d"], []),
        ("*", ["a"], ["a.b"]),
        ("#.b", ["b", "a.b", "a.a.b"], ["b.a", "a"]),
        ("a.#.b", ["a.b", "a.c.b", "a.c.d.b", "a.b.b"], ["a", "b", "a.b.c"]),
        ("a.#.b.#", ["a.b", "a.x.b.y.z", "a.b.b"], ["a.x.y", "a"]),
        ("*.#.*", ["a.b", "a.b.c"], ["a"]),
        ("#.#", ["a", "a.b"], []),
        ("*.b", ["a.b"], ["b", "a.a.b"]),
    ],
)
def test_a_pattern_takes_what_amqp_takes(pattern: str, taken: list[str], passed_over: list[str]) -> None:
    """`*` matches one word, and `#` zero or more words."""
    assert [name for name in taken + passed_over if matches(pattern, name)] == taken


words = st.sampled_from(["a", "b"])
pattern_words = st.sampled_from(["a", "b", "*", "#"])


@given(st.lists(pattern_words, min_size=1, max_size=6), st.lists(words, min_size=1, max_size=6))
def test_matching_agrees_with_its_definition_as_a_regular_expression(pattern: list[str], name: list[str]) -> None:
    """The matching agrees with a translation of the pattern into a regular expression."""
    translated = "".join({"#": "([ab],)*", "*": "[ab],"}.get(word, f"{word},") for word in pattern)
    expected = re.fullmatch(translated, "".join(f"{word}," for word in name)) is not None
    assert matches(".".join(pattern), ".".join(name)) is expected


def test_many_hashes_take_no_exponential_time() -> None:
    """A pattern with many `#` is matched in polynomial time."""
    assert not matches(".".join(["#", "a"] * 40), ".".join(["a"] * 30 + ["b"]))


@pytest.mark.parametrize("name", ["a", "account.created", "A-1_b.c", "x" * 200])
def test_a_name_is_dotted_words(name: str) -> None:
    """A name that the grammar allows is returned unchanged."""
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name", ["", ".", "a.", ".a", "a..b", "a b", "é", "a/b", "a\n", "x" * 201, None, 7, b"a", "a.*"]
)
def test_anything_else_is_no_name_and_the_error_quotes_it(name: object) -> None:
    """The error of an invalid name quotes it and says what was expected."""
    assert not is_name(name)
    with pytest.raises(InvalidName, match="expected dotted words") as error:
        check_name(name)
    assert repr(name)[:50] in str(error.value)


@pytest.mark.parametrize("pattern", ["a", "*", "#", "a.*.b.#"])
def test_patterns_may_have_stars_and_hashes_as_words(pattern: str) -> None:
    """A whole word of a pattern can be a wildcard."""
    assert check_pattern(pattern) == pattern


@pytest.mark.parametrize("pattern", ["", "a*", "a..b", "##", "a.#b", None, 3])
def test_a_wildcard_is_a_whole_word(pattern: object) -> None:
    """A wildcard as part of a word is refused, because AMQP would treat it as a plain character."""
    with pytest.raises(ValueError, match="expected dotted words"):
        check_pattern(pattern)
