"""The rules: what each promise asks of an account, and the events that break it. Pure."""

from collections.abc import Callable, Iterable, Mapping

from tests.faults.account import Account

GRACE = 0.25
"""Seconds beyond its budget after which a `defer()` counts as hung."""

EARLY = 0.02
"""Seconds by which two processes may read the clock apart from what they tell: a note is written before the work."""

LOST = "confirmed, and neither effected nor in the ledger"


def _lost(account: Account) -> Iterable[str]:
    confirmed = (key for key, end in account.ended.items() if end["what"] == "ok")
    lost = [key for key in confirmed if not account.effects[key] and not account.letters(key)]
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
    # One hurt gives one event at most one attempt more, or one copy more.
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
        yield f"{repeats.total()} events ran twice, at most {allowed} were in flight when something was hurt"
        yield from repeats.keys()


def _renamed(account: Account) -> Iterable[str]:
    for key, ids in account.ids.items():
        if len(ids) > 1 and not account.invoked.get(key, {}).get("foreign"):
            yield f"{key}: {', '.join(sorted(ids))}"


def _slow(account: Account) -> Iterable[str]:
    for key, took in account.durations.items():
        if took <= account.terms.budget + GRACE:
            continue
        begun, end = account.invoked[key], account.ended[key]
        since = begun["pid"], begun["at"], end["at"]
        if not account.stopped(*since) and took - account.starved(*since) > account.terms.budget + GRACE:
            yield f"{key}: {took:.2f} s of {account.terms.budget:g}"


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
        yield "nobody looked"
        return
    for what, left in account.drained[-1].items():
        if what not in ("what", "at") and left:
            yield f"{what}: {left}"


def _damaged(account: Account) -> Iterable[str]:
    yield from (said for said in account.checked if said != "ok")


RULES: Mapping[str, Callable[[Account], Iterable[str]]] = {
    LOST: _lost,
    "effected and in the ledger as well, or there twice": _both,
    "effected or dead without an invoke": _invented,
    "said to be unpublished, and ran": _denied,
    "ran before its time": _early,
    "attempts out of the policy's order": _out_of_order,
    "more attempts than the policy and the hurts allow": _too_many,
    "ran twice more often than the hurts allow": _repeated,
    "ran under more than one id": _renamed,
    "defer() took longer than its budget": _slow,
    "a request never ended": _hung,
    "refused although there is a spool": _refused,
    "left over after the drain": _left_over,
    "a broker's file is damaged": _damaged,
}
