"""The words between workers about their breakers, and those by which they are asked to probe."""

import json
from typing import Any

import pytest

from bridge.attempt import Error
from bridge.logs import Content
from bridge.probes import (
    MOST_HELD,
    Held,
    ProbeAsked,
    answer_of,
    answer_of_held,
    held_in,
    instances_in,
    probe_in,
    question_of,
    question_of_held,
    queues_answered,
    queues_asked,
    words_of,
)

HELD = Held("mail", "mail.send", 10, Error("ConnectionError", "no route to #"), "web1:17")


@pytest.mark.parametrize(
    "asked", [ProbeAsked("mail"), ProbeAsked("mail", "mail.send"), ProbeAsked("mail", "mail.send", "web1:17")]
)
def test_a_question_is_read_as_it_was_asked(asked: ProbeAsked) -> None:
    """With the name of the events, or without one; by a person, or by a worker."""
    content = json.loads(json.dumps(question_of(asked)))
    assert probe_in(content) == asked
    assert list(held_in(content)) == []


@pytest.mark.parametrize(
    "content", [{}, {"probe": 5, "name": None}, {"probe": "mail"}, {"probe": "mail", "name": ["mail.send"]}]
)
def test_what_is_no_question_is_ignored(content: Content) -> None:
    """A worker of a later version may say more."""
    assert probe_in(content) is None


def test_answers_that_are_none_do_not_count() -> None:
    """The others do."""
    assert instances_in([answer_of("w1"), {}, {"worker": 7}, answer_of("w2"), answer_of("w1")]) == {"w1", "w2"}


def test_what_is_held_is_read_as_it_was_told() -> None:
    """The name of all events of a queue is null."""
    told = [HELD, HELD._replace(name=None)]
    content = json.loads(json.dumps(words_of(told)))
    assert list(held_in(content)) == told
    assert probe_in(content) is None


def test_what_is_held_is_asked_by_queue() -> None:
    """The answers say which queues they tell of, also of those in which nothing is held."""
    question = json.loads(json.dumps(question_of_held({"sms", "mail"})))
    assert queues_asked(question) == frozenset({"mail", "sms"})
    assert queues_asked(words_of([HELD])) is None
    answers = [answer_of_held({"mail"}, [HELD]), answer_of_held({"sms"}, []), answer_of("w1"), {"of": 3}]
    assert queues_answered(answers) == {"mail", "sms"}
    assert [list(held_in(answer)) for answer in answers] == [[HELD], [], [], []]


@pytest.mark.parametrize(
    "wrong", [{"name": "mail send\n"}, {"events": 0}, {"events": -3}, {"worker": "web1"}, {"worker": "web1:17\nline"}]
)
def test_words_that_no_worker_writes(wrong: dict[str, Any]) -> None:
    """They are left out; the others count."""
    assert list(held_in(words_of([HELD._replace(**wrong), HELD]))) == [HELD]


def test_a_message_tells_of_few_names() -> None:
    """It stays small, however many are held."""
    assert len(list(held_in(words_of([HELD] * 1000)))) == MOST_HELD


@pytest.mark.parametrize("damaged", [{}, {"held": None}, {"held": "mail"}, {"held": [None, {}, {"queue": 3}]}])
def test_damaged_words_tell_of_nothing(damaged: Content) -> None:
    """Anybody with a right to the broadcast can send them."""
    assert list(held_in(damaged)) == []
