"""The question for the stacks of a child, and its answer, as they travel."""

from dataclasses import replace

import pytest

from bridge.logs import Content, encode_record
from bridge.stacks import ChildStacks, answers_in, content_of, is_for_stacks, pid_asked_for, question_for

ANSWER = ChildStacks("i1", "web1", 11, 12, "the-id", 'Thread 0x1 (most recent call first):\n  File "a.py", line 1\n')


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (question_for(12), 12),
        (question_for(12, "i1"), 12),
        (question_for(12, "i2"), None),
        ({"ask": "status"}, None),
        ({}, None),
        ({"ask": "stacks"}, None),
        ({"ask": "stacks", "pid": "12"}, None),
        ({"ask": "stacks", "pid": True}, None),
        ({"ask": "stacks", "pid": -1}, None),
        ({"ask": "stacks", "pid": 2**70}, None),
        ({"ask": "stacks", "pid": 12, "instance": 1}, None),
    ],
)
def test_a_worker_answers_for_its_own_child_alone(question: Content, expected: int | None) -> None:
    """A question for another worker, or a damaged one, asks for nothing."""
    assert pid_asked_for(question, "i1") == expected


def test_a_damaged_question_for_stacks_is_none_for_the_status() -> None:
    """Nobody answers it with a status, which the asker does not expect."""
    assert is_for_stacks({"ask": "stacks", "pid": "x"})
    assert not is_for_stacks({"ask": "status"})


def test_an_answer_is_read_as_it_was_written() -> None:
    """Also without an event, and without stacks."""
    others = [replace(ANSWER, instance="i2", host="web2", event=None), replace(ANSWER, instance="i3", stacks="")]
    found = answers_in(map(content_of, [ANSWER, *others]))
    assert sorted(found, key=lambda each: each.instance) == [ANSWER, *others]


def test_other_answers_are_left_out() -> None:
    """Those of workers of earlier versions, and damaged ones."""
    good = content_of(ANSWER)
    bad: list[Content] = [{}, {"kind": "worker", "instance": "i9"}, {**good, "pid": "12"}, {**good, "event": 3}]
    assert answers_in([*bad, {**good, "stacks": None}, {**good, "host": 7}]) == []


def test_long_stacks_fit_into_a_record() -> None:
    """The middle of many threads is cut; the first and the last frame stay."""
    line = '  File "/srv/shop/shop.py", line 7 in paid\n'
    content = content_of(replace(ANSWER, stacks=f"first\n{line * 5000}last\n"))
    encode_record(content)
    assert content["stacks"].startswith("first\n")
    assert content["stacks"].endswith("last\n")
