"""The acts about dead letters: redrive and discard one, a group or all, and stop that."""

import uuid
from collections.abc import Mapping
from functools import partial
from typing import Literal

from bridge.config.dashboard_settings import Role
from bridge.config.notation import positive_count
from bridge.ledger import Dead
from dead_letter.cli import CANARY
from dead_letter.options import interval_of
from dead_letter.rendering import letters_of
from deferred_event_bridge.dashboard.asking import Act, Field, Question, Sent
from deferred_event_bridge.dashboard.decision_job import DecisionJobs, Order
from deferred_event_bridge.dashboard.plan_acts import begin_plan
from deferred_event_bridge.dashboard.plan_threads import PlanThreads
from deferred_event_bridge.dashboard.screens.asked import Asked, NotThere, Unusable, command, option

DEFAULT_RATE = "50/s"

Verb = Literal["redrive", "discard"]


def decision_act(jobs: DecisionJobs, plans: PlanThreads, verb: Verb) -> Act:
    """Return the act that redrives or discards letters. A redrive of more than one named letter is a plan."""
    role = Role.OPERATE if verb == "redrive" else Role.EDIT
    return Act(role, partial(_ask_decision, verb=verb), partial(_decide, jobs, plans))


def stop_act(jobs: DecisionJobs) -> Act:
    """Return the act that stops a redrive or a discard."""
    return Act(Role.OPERATE, partial(_ask_stop, jobs), partial(_stop, jobs))


def _decide(jobs: DecisionJobs, plans: PlanThreads, asked: Asked, sent: Sent) -> str:
    verb, numbers = sent.frozen["verb"], sent.frozen["numbers"]
    if numbers is None:
        letters, _ = _selected(asked, verb, sent.frozen["group"], sent.frozen["through"])
        numbers = [letter.number for letter in letters][: _count("Only the oldest", sent.fields.get("limit", ""))]
        if not numbers:
            return "Nothing was changed: these letters were decided meanwhile."
        if verb == "redrive":
            canary = _count("First", sent.fields.get("canary", "")) or CANARY
            interval = _interval(sent.fields.get("rate", DEFAULT_RATE))
            return begin_plan(plans, asked, sent, numbers, canary, interval)
    by_number = sent.frozen["numbers"] is not None
    order = Order(sent.frozen["id"], verb, numbers, by_number, 0.0, sent.who, sent.why)
    jobs.start(asked.settings, order)
    return f"{'Redriving' if verb == 'redrive' else 'Discarding'} {letters_of(len(numbers))}."


def _ask_stop(jobs: DecisionJobs, asked: Asked) -> Question:
    job = jobs.find(asked.text("job") or "")
    if job is None or job.ended is not None:
        raise NotThere("This order has ended, or another process runs it: stop it there.")
    left = job.total - job.tally.done - len(job.tally.skipped)
    return Question(
        title=f"Stop this {job.order.verb}?",
        sentences=(
            f"{job.tally.done:,} of {letters_of(job.total)} are done, and stay done.",
            f"The other {left:,} stay open. You can go on with them later.",
        ),
        button="Stop",
        frozen={"job": job.order.id},
        command="",
        back=("redrive", {}),
        after=("redrive", {}),
    )


def _stop(jobs: DecisionJobs, asked: Asked, sent: Sent) -> str:
    job = jobs.find(sent.frozen["job"])
    if job is not None:
        job.stop()
    return "Stopping after the current letter."


def _ask_decision(asked: Asked, verb: Verb) -> Question:
    """Ask about one letter (`number`), one group (`group`), or all letters."""
    number, group = asked.text("number"), asked.text("group")
    asked.observer.seen()
    ledger = asked.observer.ledger
    left_out = 0
    if number is not None:
        open_letter = ledger.letter(int(number)) if number.isascii() and number.isdigit() and len(number) < 20 else None
        letters = [] if open_letter is None else [open_letter]
        back: tuple[str, Mapping[str, str]] = ("letter", {"number": number})
    else:
        letters, left_out = _selected(asked, verb, group)
        back = ("group", {"group_id": group}) if group is not None else ("failing", {})
    if not letters and left_out:
        raise NotThere("These letters are of cancelled events, or not signed: redrive each on its own page.")
    if not letters:
        raise NotThere("No open letter is selected. All of them were decided, or the ledger is still being read.")
    return Question(
        title=f"{verb.capitalize()} {letters_of(len(letters))}?",
        sentences=_consequences(verb, letters, left_out, is_one=number is not None),
        button=verb.capitalize(),
        frozen={
            "id": uuid.uuid4().hex,
            "verb": verb,
            "numbers": None if number is None else [letters[0].number],
            "group": group,
            "through": letters[-1].number,
        },
        command=_decision_command(verb, number, group),
        back=back,
        after=("redrive", {}),
        fields=() if number is not None else _decision_fields(verb),
        danger=verb == "discard",
    )


def _decision_fields(verb: str) -> tuple[Field, ...]:
    limit = Field("limit", "Only the oldest", "A number of letters, such as 1 to try first. Empty: all of them.")
    if verb == "discard":
        return (limit,)
    canary = Field("canary", "First", "Letters of the first step. Each later step is twice as large.", str(CANARY))
    return (canary, limit, Field("rate", "Rate", "Such as 50/s, 10/m or 100/h.", DEFAULT_RATE, required=True))


def _selected(asked: Asked, verb: Verb, group: str | None, through: int | None = None) -> tuple[list[Dead], int]:
    """Return the open letters of a group, or all, and how many are left out: a letter that is not believed, or that is
    of a cancelled event, is redriven only if somebody names it (`LetterReader`)."""
    found = asked.observer.ledger.letters(group, through=through)
    if verb == "discard":
        return found, 0
    chosen = [letter for letter in found if letter.believed and letter.reason != "cancelled"]
    return chosen, len(found) - len(chosen)


def _of_the_plan(count: int) -> tuple[str, ...]:
    seconds = count * interval_of(DEFAULT_RATE)
    return (
        "Each step is twice as large as the one before, and begins when the events of that one are delivered.",
        "It stops by itself if one event fails as before, or if more than 10 % of a step fail otherwise.",
        f"At {DEFAULT_RATE} putting all of them back takes {seconds:,.{int(seconds < 10)}f} s or longer.",
    )


def _consequences(verb: str, letters: list[Dead], left_out: int, *, is_one: bool) -> tuple[str, ...]:
    queues = sorted({letter.queue or "no queue" for letter in letters})
    named = f"{', '.join(queues[:5])}{' …' if len(queues) > 5 else ''}"
    of = f"They died in {named}; the oldest is number {letters[0].number}."
    if verb == "discard":
        return of, "They are closed without another attempt. Their record stays in the ledger."
    return (
        of,
        "Each goes back to its own queue and begins a new round of attempts, with the same id.",
        "Letters that die from now on are not among them.",
        *([f"{left_out:,} more are left out: of cancelled events, or not signed."] if left_out else []),
        *(_of_the_plan(len(letters)) if not is_one else ()),
    )


def _decision_command(verb: str, number: str | None, group: str | None) -> str:
    if number is not None:
        return command("bridge-dlq", verb, number, "--reason", "…")
    which = option("--group", group) or ("--all",)
    plan = ("--plan", "--canary", str(CANARY), "--rate", DEFAULT_RATE) if verb == "redrive" else ()
    return command("bridge-dlq", verb, *which, *plan, "--reason", "…")


def _count(label: str, text: str) -> int | None:
    text = text.strip().replace(",", "")
    if not text:
        return None
    try:
        return positive_count(text)
    except ValueError as error:
        raise Unusable(f"{label}: {text!r:.40}: expected a number of letters, such as 10") from error


def _interval(text: str) -> float:
    try:
        return interval_of(text)
    except ValueError as error:
        raise Unusable(f"Rate: {error}") from error
