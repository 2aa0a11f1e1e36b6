"""The acts about redrives of many letters: begin a plan, stop it, resume it."""

from datetime import UTC, datetime
from functools import partial

from bridge.brokers.any_broker.plan_log import PlanLog
from bridge.brokers.contract.broker import Broker
from bridge.config.dashboard_settings import Role
from bridge.plans import Plan, PlanStory
from dead_letter.cli import WAIT
from dead_letter.rendering import letters_of
from deferred_event_bridge.dashboard.asking import Act, Question, Sent
from deferred_event_bridge.dashboard.plan_threads import PlanThreads, record_plan
from deferred_event_bridge.dashboard.screens.asked import Asked, NotThere, command


def begin_plan(threads: PlanThreads, asked: Asked, sent: Sent, letters: list[int], canary: int, interval: float) -> str:
    """Record a plan with the id of the form, and carry it out in this process; return a sentence about it."""
    plan = Plan(
        id=sent.frozen["id"][:8],
        letters=tuple(letters),
        canary=canary,
        interval=interval,
        wait=WAIT,
        abort_over=None,
        who=sent.who,
        why=sent.why,
        time=datetime.now(UTC),
    )

    async def record(broker: Broker) -> bool:
        return await record_plan(broker, asked.settings, plan)

    if not asked.observer.ask(record):
        return f"Plan {plan.id} was begun already."
    threads.carry_out(asked.settings, plan, sent.who)
    return f"Plan {plan.id}: {letters_of(len(letters))}, first {min(canary, len(letters)):,}."


def stop_plan_act() -> Act:
    """Return the act that stops a plan, wherever it runs."""
    return Act(Role.OPERATE, _ask_stop, _stop)


def resume_plan_act(threads: PlanThreads) -> Act:
    """Return the act that carries out the rest of a plan in this process."""
    return Act(Role.OPERATE, _ask_resume, partial(_resume, threads))


def _ask_stop(asked: Asked) -> Question:
    story = _story(asked)
    plan, redriven = story.plan, story.progress.redriven
    if story.ended is not None:
        raise NotThere(f"Plan {plan.id} has ended already.")
    return Question(
        title=f"Stop plan {plan.id}?",
        sentences=(
            f"{redriven:,} of {letters_of(len(plan.letters))} are put back, and stay so.",
            "It ends within some seconds, after the letters in hand. You can resume it.",
        ),
        button="Stop",
        frozen={"plan": plan.id},
        command=command("bridge-dlq", "plans", "stop", plan.id),
        back=("redrive", {}),
        after=("redrive", {}),
        danger=True,
    )


def _stop(asked: Asked, sent: Sent) -> str:
    async def stop(broker: Broker) -> None:
        log = PlanLog(broker, asked.settings.values.namespace, asked.settings.ledger_keys())
        await log.append(log.records.stop(sent.frozen["plan"], f"{sent.who}: {sent.why}", datetime.now(UTC)))

    asked.observer.ask(stop)
    return f"Plan {sent.frozen['plan']} stops after the letters in hand."


def _ask_resume(asked: Asked) -> Question:
    story = _story(asked)
    plan, left = story.plan, len(story.plan.letters) - story.progress.redriven
    if story.state(asked.now) in ("running", "stopping"):
        raise NotThere(f"Plan {plan.id} runs.")
    return Question(
        title=f"Resume plan {plan.id}?",
        sentences=(
            f"{letters_of(max(left, 0))} are left at most: only those that are still open are put back.",
            f"It begins with {plan.canary:,} again, and goes on with twice as many after each step that lives.",
        ),
        button="Resume",
        frozen={"plan": plan.id, "last": story.last.isoformat() if story.last else ""},
        command=command("bridge-dlq", "plans", "resume", plan.id),
        back=("redrive", {}),
        after=("redrive", {}),
    )


def _resume(threads: PlanThreads, asked: Asked, sent: Sent) -> str:
    async def read(broker: Broker) -> PlanStory | None:
        log = PlanLog(broker, asked.settings.values.namespace, asked.settings.ledger_keys())
        return (await log.read()).stories.get(sent.frozen["plan"])

    story = asked.observer.ask(read)
    if story is None or (story.last and story.last.isoformat()) != sent.frozen["last"]:
        return f"Nothing was changed: plan {sent.frozen['plan']} has gone on meanwhile."
    threads.carry_out(asked.settings, story.plan, sent.who)
    return f"Plan {story.plan.id} goes on."


def _story(asked: Asked) -> PlanStory:
    plan_id = asked.text("plan")
    found = next((each for each in asked.observer.seen().plans if each.plan.id == plan_id), None)
    if found is None:
        raise NotThere(f"There is no plan {plan_id or ''} of the last 90 days.")
    return found
