"""The rules for calls: one pure function for each promise, which yields the calls of an account that break it."""

from collections.abc import Callable, Iterable, Mapping

from tests.faults.account import Account
from tests.faults.tolerances import CLEAN_UP, STARVED

NOTHING_RAN = frozenset({"NobodyServes", "CallUnavailable"})
"""The errors after which no listener has run, and none will."""

ENDS = NOTHING_RAN | {"answered", "CallTimedOut", "CallLost", "CallFailed", "CallRejected"}
"""The answers that a caller may get."""


OUTLIVED = CLEAN_UP + STARVED
"""Seconds that a listener may live beyond the time of its caller."""


def _never_told(account: Account) -> Iterable[str]:
    for key, call in account.calls.items():
        if call.asked and not call.told and not account.was_killed(call.asked["pid"]):
            yield key


def _told_late(account: Account) -> Iterable[str]:
    for key, call in account.calls.items():
        if call.asked and call.told and account.overran(call.asked, call.told, call.asked["timeout"]):
            yield f"{key}: {call.told['at'] - call.asked['at']:.2f} s of {call.asked['timeout']:g}, then {call.end}"


def _told_unknown(account: Account) -> Iterable[str]:
    for key, call in account.calls.items():
        if call.end is not None and call.end not in ENDS:
            yield f"{key}: {call.end}"


def _wrong_answer(account: Account) -> Iterable[str]:
    for key, call in account.calls.items():
        if call.told and call.end == "answered" and (call.told["answer"] != key or not call.ended):
            yield f"{key}: {call.told['answer']}"


def _denied(account: Account) -> Iterable[str]:
    for key, call in account.calls.items():
        if call.end in NOTHING_RAN and call.begun:
            yield f"{key}: {call.end}"


def _unasked(account: Account) -> Iterable[str]:
    yield from (key for key, call in account.calls.items() if not call.asked)


def _ran_again(account: Account) -> Iterable[str]:
    yield from (f"{key}: {len(call.begun)} runs" for key, call in account.calls.items() if len(call.begun) > 1)


def _begun_late(account: Account) -> Iterable[str]:
    for key, call in account.calls.items():
        if late := [at - call.until for at in call.begun if at >= call.until + OUTLIVED]:
            yield f"{key} began {late[0]:.3f} s after its time"


def _ran_on(account: Account) -> Iterable[str]:
    for key, call in account.calls.items():
        if late := [at - call.until for at in call.ended if at >= call.until + OUTLIVED]:
            yield f"{key} ran until {late[0]:.3f} s after its time"


CALL_RULES: Mapping[str, Callable[[Account], Iterable[str]]] = {
    "a caller was never told what became of its call": _never_told,
    "a call took longer than its timeout": _told_late,
    "a call ended in an error that is not one of a call": _told_unknown,
    "a caller got an answer that was not its own": _wrong_answer,
    "reported as not run, but ran": _denied,
    "a call ran that nobody made": _unasked,
    "a call ran more than once": _ran_again,
    "a call began after its time": _begun_late,
    "a call ran on for a caller that was gone": _ran_on,
}
