"""The rules: one pure function for each promise, which yields the events of an account that break it."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from itertools import pairwise

from tests.faults.account import Account
from tests.faults.call_rules import CALL_RULES
from tests.faults.effect_rules import EFFECT_RULES
from tests.faults.share_rules import SHARE_RULES
from tests.faults.tolerances import CANCELLED_WITHIN, EARLY, PAUSED_WITHIN, STARVED

LOST = "confirmed, but neither run nor in the ledger"


def _lost(account: Account) -> Iterable[str]:
    confirmed = (key for key, end in account.ended.items() if end["what"] == "ok")
    lost = [key for key in confirmed if not account.had_effect(key) and not account.letters(key)]
    if len(lost) > account.allowed("losses"):
        yield from lost


def _both(account: Account) -> Iterable[str]:
    ends = {key: account.letters(key) + bool(account.effects[key]) for key in account.dead}
    both = [key for key, count in ends.items() if count > max(1, account.invocations[key])]
    if len(both) > account.allowed("repeats") + account.allowed("copies") + len(account.unknown):
        yield from both


def _invented(account: Account) -> Iterable[str]:
    yield from (key for key in (account.effects.keys() | account.dead.keys()) if key not in account.invoked)


def _denied(account: Account) -> Iterable[str]:
    failed = (key for key, end in account.ended.items() if end["what"] == "fail")
    yield from (key for key in failed if key in account.attempts or key in account.dead)


def _early(account: Account) -> Iterable[str]:
    if not account.terms.timed:
        return
    for key, numbered in account.attempts.items():
        delay = account.invoked.get(key, {}).get("delay") or 0.0
        if delay and (waited := min(map(min, numbered.values())) - account.invoked[key]["at"]) < delay - EARLY:
            yield f"{key}: deferred by {delay:g} s, and came {waited:.3f} s after it was invoked"
        for number, times in numbered.items():
            if 1 < number <= len(account.terms.waits) + 1 and number - 1 in numbered:
                waited = min(times) - min(account.over[key, number - 1])
                if waited < account.terms.waits[number - 2] - EARLY:
                    yield f"{key}: attempt {number} came {waited:.3f} s after attempt {number - 1} failed"


def _out_of_order(account: Account) -> Iterable[str]:
    unseen: list[str] = []
    for key, numbered in account.attempts.items():
        for number, times in numbered.items():
            if number > 1 and number - 1 not in numbered:
                unseen.append(f"{key}: attempt {number} without attempt {number - 1}")
            elif number > 1 and min(numbered[number - 1]) > min(times):
                yield f"{key}: attempt {number} before attempt {number - 1}"
    if len(unseen) > account.allowed("unseen"):
        yield from unseen


def _too_many(account: Account) -> Iterable[str]:
    # A fault can cause at most one more attempt, or one more copy, of an event.
    hurts = sum(bool(hurt.get("repeats") or hurt.get("copies")) for hurt in account.hurts)
    for key, numbered in account.attempts.items():
        rounds = 1 + account.redriven(key)
        made = sum(map(len, numbered.values()))
        if made > account.terms.attempts * rounds * (1 + hurts + (key in account.unknown)):
            yield f"{key}: {made} attempts"
        elif max(numbered) > account.terms.attempts:
            yield f"{key}: attempt number {max(numbered)}"


def _repeated(account: Account) -> Iterable[str]:
    repeats = account.repeats
    allowed = account.allowed("repeats") + account.allowed("copies") + len(account.unknown)
    if repeats.total() > allowed:
        yield f"{repeats.total()} events ran twice; the faults allow {allowed}"
        yield from repeats.keys()


def _renamed(account: Account) -> Iterable[str]:
    for key, ids in account.ids.items():
        if len(ids) > 1 and not account.invoked.get(key, {}).get("foreign"):
            yield f"{key}: {', '.join(sorted(ids))}"


def _slow(account: Account) -> Iterable[str]:
    for key, end in account.ended.items():
        if account.overran(account.invoked[key], end, account.terms.budget):
            yield f"{key}: {account.durations[key]:.2f} s of {account.terms.budget:g}"


def _hung(account: Account) -> Iterable[str]:
    for key, begun in account.invoked.items():
        if key not in account.ended and not account.was_killed(begun["pid"]):
            yield key


def _refused(account: Account) -> Iterable[str]:
    if not account.terms.refusing:
        refused = ((key, end) for key, end in account.ended.items() if end["what"] != "ok")
        yield from (f"{key}: {end.get('error')}" for key, end in refused)


def _left_over(account: Account) -> Iterable[str]:
    if not account.drained:
        yield "the ordeal was not drained"
        return
    for what, left in account.drained[-1].items():
        if what not in ("what", "at") and left:
            yield f"{what}: {left}"


def _begun_in_a_pause(account: Account) -> Iterable[str]:
    for begun, ended in account.pauses:
        since = begun + PAUSED_WITHIN + STARVED
        for key, numbered in account.attempts.items():
            for number, times in numbered.items():
                if late := [at for at in times if since <= at < ended]:
                    yield f"{key}: attempt {number} began {late[0] - begun:.3f} s after the pause"


def _begun_although_cancelled(account: Account) -> Iterable[str]:
    for key, cancelled in account.cancelled.items():
        if account.redriven(key):  # a redriven event begins
            continue
        begun = (at for times in account.attempts.get(key, {}).values() for at in times)
        if late := [at for at in begun if at >= cancelled + CANCELLED_WITHIN + STARVED]:
            yield f"{key} began {late[0] - cancelled:.3f} s after it was cancelled"


def _ran_again(account: Account) -> Iterable[str]:
    for (schedule, moment), ids in account.moments.items():
        if len(set(ids)) > 1:
            yield f"{schedule} at {moment}: {len(set(ids))} events"
    again = {named: len(ids) - len(set(ids)) for named, ids in account.moments.items()}
    if sum(again.values()) > account.allowed("repeats") + account.allowed("copies"):
        yield from (f"{schedule} at {moment}: {1 + more} runs" for (schedule, moment), more in again.items() if more)


def _left_out(account: Account) -> Iterable[str]:
    """A missed moment runs late, so between the first and the last moment none is left out."""
    left_out: list[str] = []
    for schedule, every in account.schedules.items():
        ran = sorted(datetime.fromisoformat(moment) for name, moment in account.moments if name == schedule)
        for earlier, later in pairwise(ran):
            missed = round((later - earlier).total_seconds() / every) - 1
            left_out += [f"{schedule}: after {earlier.isoformat()}"] * missed
    if len(left_out) > account.allowed("losses"):
        yield from left_out


def _begun_late(account: Account) -> Iterable[str]:
    if not account.terms.timed:
        return
    for key, numbered in account.attempts.items():
        expires = account.invoked.get(key, {}).get("expires")
        if expires is None or account.redriven(key):  # a redriven event does not expire
            continue
        if late := [at for times in numbered.values() for at in times if at >= expires + STARVED]:
            yield f"{key} began {late[0] - expires:.3f} s after it expired"


def _overtook(account: Account) -> Iterable[str]:
    ordered = [key for key, begun in account.invoked.items() if "ordered" in begun and not account.redriven(key)]
    ends = ((key, account.ended.get(key, {"what": "unknown"})) for key in ordered)
    confirmed = sorted((end["at"], key) for key, end in ends if end["what"] == "ok")
    passed, ahead = 0, dict[str, tuple[float, str]]()
    for key in ordered:
        begun = account.invoked[key]
        # Events that were published at the same time have no order among them.
        while passed < len(confirmed) and confirmed[passed][0] <= begun["at"]:
            earlier, passed = confirmed[passed][1], passed + 1
            queue, last = account.invoked[earlier]["ordered"], account.last.get(earlier, 0.0)
            ahead[queue] = max(ahead.get(queue, (0.0, "")), (last, earlier))
        last, earlier = ahead.get(begun["ordered"], (0.0, ""))
        if key in account.attempts and (first := min(map(min, account.attempts[key].values()))) < last:
            yield f"{key} began {last - first:.3f} s before {earlier} ended"


def _damaged(account: Account) -> Iterable[str]:
    yield from (said for said in account.checked if said != "ok")


RULES: Mapping[str, Callable[[Account], Iterable[str]]] = {
    LOST: _lost,
    "run and dead-lettered, or dead-lettered twice": _both,
    "run or dead-lettered without a defer() call": _invented,
    "reported as not published, but ran": _denied,
    "ran before it was due": _early,
    "attempts not in the order of the policy": _out_of_order,
    "more attempts than the policy and the faults allow": _too_many,
    "more repeated runs than the faults allow": _repeated,
    "ran under more than one id": _renamed,
    "defer() took longer than its budget": _slow,
    "a request never ended": _hung,
    "defer() raised although there is a spool": _refused,
    "an event of a paused queue began": _begun_in_a_pause,
    "a cancelled event began": _begun_although_cancelled,
    "a moment of a schedule ran twice": _ran_again,
    "a moment of a schedule was left out": _left_out,
    "an expired event began": _begun_late,
    "an event of an ordered queue began before an earlier one ended": _overtook,
    "left over after the drain": _left_over,
    "a broker's file is damaged": _damaged,
    **CALL_RULES,
    **SHARE_RULES,
    **EFFECT_RULES,
}
