"""The question for the Python stacks of a child, and its answer, as they travel by broadcast. Pure.

It has the subject of the question for the status (`bridge.registry`), so a worker needs no further connection for it. A
worker of an earlier version answers with its status, which is no answer here.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from bridge.json_fields import any_text, count, cut_text, exact_text
from bridge.logs import Content

STACKS = "stacks"

MOST_STACKS = 40 * 1024
"""Characters of the stacks in an answer: as JSON, in which line ends and quotes have two characters, they fit into a
record. The middle of longer ones is cut."""

_MAX_TEXT = 200
_MAX_PID = 2**31


@dataclass(frozen=True, slots=True)
class ChildStacks:
    """The answer of a worker: the stacks of all threads of its child `pid`, empty if the child did not write them in
    time. `event` is the id of the event that ran in the child then, None for none."""

    instance: str
    host: str
    worker: int
    pid: int
    event: str | None
    stacks: str


def question_for(pid: int, instance: str | None = None) -> Content:
    """Return the question for the stacks of the child with this process id: of the worker with this instance, or of all
    workers that have such a child."""
    return {"ask": STACKS, "pid": pid, "instance": instance}


def pid_asked_for(question: Content, instance: str) -> int | None:
    """Return the process id of the child whose stacks a question asks this worker for; None for any other question."""
    if question.get("ask") != STACKS or question.get("instance") not in (None, instance):
        return None
    try:
        return count(question.get("pid"), _MAX_PID)
    except ValueError:
        return None


def is_for_stacks(question: Content) -> bool:
    """Return True if a question asks a worker, this one or another, for stacks and not for its status."""
    return question.get("ask") == STACKS


def content_of(answer: ChildStacks) -> Content:
    """Return an answer as it travels."""
    return {
        "instance": answer.instance,
        "host": answer.host,
        "worker": answer.worker,
        "pid": answer.pid,
        "event": answer.event,
        STACKS: cut_text(answer.stacks, MOST_STACKS),
    }


def answers_in(contents: Iterable[Content]) -> list[ChildStacks]:
    """Return the answers among these contents, by host and worker. Contents that are none are left out."""
    found: dict[str, ChildStacks] = {}
    for content in contents:
        try:
            event = content["event"]
            answer = ChildStacks(
                instance=exact_text(content["instance"], _MAX_TEXT),
                host=cut_text(content["host"], _MAX_TEXT),
                worker=count(content["worker"], _MAX_PID),
                pid=count(content["pid"], _MAX_PID),
                event=None if event is None else exact_text(event, _MAX_TEXT * 2),
                stacks=any_text(content[STACKS]),
            )
        except (KeyError, ValueError):
            continue
        found[answer.instance] = answer
    return sorted(found.values(), key=lambda each: (each.host, each.worker))
