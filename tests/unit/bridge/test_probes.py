"""The words by which workers are asked to probe."""

import pytest

from bridge.logs import Content
from bridge.probes import ProbeAsked, answer_of, instances_in, probe_in, question_of


@pytest.mark.parametrize("asked", [ProbeAsked("mail"), ProbeAsked("mail", "mail.send")])
def test_a_question_is_read_as_it_was_asked(asked: ProbeAsked) -> None:
    """With the name of the events, or without one."""
    assert probe_in(question_of(asked)) == asked


@pytest.mark.parametrize(
    "content", [{}, {"probe": 5, "name": None}, {"probe": "mail"}, {"probe": "mail", "name": ["mail.send"]}]
)
def test_what_is_no_question_is_ignored(content: Content) -> None:
    """A worker of a later version may say more."""
    assert probe_in(content) is None


def test_answers_that_are_none_do_not_count() -> None:
    """The others do."""
    assert instances_in([answer_of("w1"), {}, {"worker": 7}, answer_of("w2"), answer_of("w1")]) == {"w1", "w2"}
