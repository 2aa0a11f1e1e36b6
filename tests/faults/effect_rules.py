"""The rules about the app's database: effects with `once`, and events that are deferred with a session."""

from collections.abc import Callable, Iterable, Mapping

from tests.faults.account import Account
from tests.faults.app_database import LISTENERS


def _twice(account: Account) -> Iterable[str]:
    """No fault may cause that, so nothing is allowed."""
    for key, stored in account.stored.items():
        yield from (f"{key}: {count} of {listener!r}" for listener, count in stored["effects"].items() if count > 1)


def _missing(account: Account) -> Iterable[str]:
    for key, stored in account.stored.items():
        if stored["committed"] and not account.letters(key):
            yield from (f"{key}: none of {listener!r}" for listener in LISTENERS if listener not in stored["effects"])


def _uncommitted(account: Account) -> Iterable[str]:
    if account.stored:
        committed = {key for key, stored in account.stored.items() if stored["committed"]}
        ran = {key for key, stored in account.stored.items() if stored["effects"]} | account.attempts.keys()
        yield from sorted(ran - committed)


def _lost_order(account: Account) -> Iterable[str]:
    if account.stored:
        confirmed = (key for key, end in account.ended.items() if end["what"] == "ok")
        yield from (key for key in confirmed if not account.stored.get(key, {}).get("committed"))


EFFECT_RULES: Mapping[str, Callable[[Account], Iterable[str]]] = {
    "an effect in the app's database happened twice": _twice,
    "a committed event had no effect in the app's database": _missing,
    "an event ran whose transaction was not committed": _uncommitted,
    "a committed order is not in the app's database": _lost_order,
}
