"""The acts of a person on the page. Each act first asks: it says in numbers what it will do, and freezes that in the
token of its form. Then it acts through the same code as the programs, and the record has who and why.

A form that is sent twice acts once: a pause, a purge, a plan and an order have the id of their form, a resume
names the pauses that it ends, a cancellation names its event, and an edited letter is closed.
"""

from collections.abc import Mapping

from deferred_event_bridge.dashboard.asking import Act
from deferred_event_bridge.dashboard.decision_job import DecisionJobs
from deferred_event_bridge.dashboard.edit_acts import EDIT, ERASE
from deferred_event_bridge.dashboard.group_acts import group_act
from deferred_event_bridge.dashboard.letter_acts import decision_act, stop_act
from deferred_event_bridge.dashboard.plan_acts import resume_plan_act, stop_plan_act
from deferred_event_bridge.dashboard.plan_threads import PlanThreads
from deferred_event_bridge.dashboard.queue_acts import CANCEL, PAUSE, PURGE, RESUME


def acts_of(jobs: DecisionJobs, plans: PlanThreads) -> Mapping[str, Act]:
    """Return the acts by name."""
    return {
        "pause": PAUSE,
        "resume": RESUME,
        "purge": PURGE,
        "cancel": CANCEL,
        "known": group_act("known"),
        "quiet": group_act("quiet"),
        "fixed": group_act("fixed"),
        "redrive": decision_act(jobs, plans, "redrive"),
        "discard": decision_act(jobs, plans, "discard"),
        "edit": EDIT,
        "erase": ERASE,
        "stop": stop_act(jobs),
        "stop-plan": stop_plan_act(),
        "resume-plan": resume_plan_act(plans),
    }
