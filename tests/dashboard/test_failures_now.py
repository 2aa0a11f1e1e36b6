"""The groups of the page: they are made again only where something has changed."""

import asyncio
from datetime import timedelta

from bridge.config.settings import Settings
from bridge.console.site_options import existing_broker
from bridge.ledger import Discarded, Entry
from deferred_event_bridge.dashboard.failures_now import FailuresNow, GroupNow
from deferred_event_bridge.dashboard.ledger_fold import LedgerFold
from tests.dashboard.test_ledger_fold import NOON, dead


def groups_after(settings: Settings, fold: LedgerFold, *changes: Entry) -> list[dict[str, GroupNow]]:
    """Return the groups, by type of error, now and after each change of the fold."""

    async def made() -> list[dict[str, GroupNow]]:
        async with existing_broker(settings) as broker:
            failures, found = FailuresNow(broker, settings), []
            for at, change in enumerate([None, *changes]):
                fold.add([] if change is None else [change])
                groups = failures.groups(fold, NOON + timedelta(hours=at))
                found.append({each.group.fingerprint.type: each for each in groups})
            return found

    return asyncio.run(made())


def test_only_a_group_that_changed_is_made_again(settings: Settings) -> None:
    """A further letter, and a decision, change their own group; the largest group comes first."""
    fold = LedgerFold()
    fold.add([dead(1), dead(2), dead(3, error="OSError")])

    first, more, fewer = groups_after(settings, fold, dead(4), Discarded(5, 1, NOON, "ann"))

    assert list(first) == ["KeyError", "OSError"]
    assert first["OSError"] is more["OSError"] is fewer["OSError"]
    counts = [each["KeyError"].document["dead"] for each in (first, more, fewer)]
    assert counts == [{"count": 2, "newest": 2}, {"count": 3, "newest": 4}, {"count": 2, "newest": 4}]


def test_a_group_that_ends_is_gone(settings: Settings) -> None:
    """After the decision about its last letter."""
    fold = LedgerFold()
    fold.add([dead(1)])

    assert [list(each) for each in groups_after(settings, fold, Discarded(2, 1, NOON, "ann"))] == [["KeyError"], []]
