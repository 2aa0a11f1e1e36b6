"""The tests of `make test`: a table of what it runs of each folder and module. `tests/conftest.py` marks all other
tests `long`, which leaves them to `make test-all`, and so to CI.

A developer waits for `make test`, so it touches each area once with the real thing: every unit, the contract on both
brokers, a journey of each kind on SQLite, the outcomes of events on RabbitMQ too, two ordeals and a mutant.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

ALL, FIRST, NONE = "all", "first", "none"
"""What of a module is run: every test that is not marked `long`, the first such test, or nothing. Any other word is the
beginning of a test's name: the first such test is run."""


class Share(NamedTuple):
    """What is run of the tests without the mark `rabbitmq`, and of those with it."""

    others: str = ALL
    rabbitmq: str = ALL


SHORT_RUN = {
    "tests/": Share(),
    "tests/complaints/": Share(rabbitmq=NONE),
    "tests/complaints/test_start_and_end.py": Share(rabbitmq=FIRST),
    "tests/contract/": Share(rabbitmq=FIRST),
    "tests/contract/test_calls_reconnect.py": Share(NONE, NONE),
    "tests/contract/test_delay.py": Share(),
    "tests/contract/test_delivery.py": Share(),
    "tests/contract/test_holding.py": Share(),
    "tests/contract/test_ledger.py": Share(),
    "tests/contract/test_mailboxes.py": Share(),
    "tests/contract/test_missing_workers.py": Share(NONE, NONE),
    "tests/contract/test_ordered.py": Share(),
    "tests/contract/test_prefetch.py": Share(),
    "tests/contract/test_priorities.py": Share(),
    "tests/contract/test_publishing.py": Share(),
    "tests/contract/test_rabbitmq_examination.py": Share(rabbitmq="test_all_is_well"),
    "tests/contract/test_rabbitmq_far_away.py": Share(rabbitmq=NONE),
    "tests/contract/test_rabbitmq_policies.py": Share(rabbitmq=NONE),
    "tests/contract/test_rabbitmq_recovery.py": Share(rabbitmq=NONE),
    "tests/contract/test_rabbitmq_tls.py": Share(rabbitmq=NONE),
    "tests/contract/test_routing.py": Share(),
    "tests/contract/test_settlement.py": Share(),
    "tests/contract/test_site_controls.py": Share(),
    "tests/contract/test_unreadable_records.py": Share(rabbitmq=NONE),
    "tests/dashboard/": Share(rabbitmq=NONE),
    "tests/dashboard/test_queues_in_browser.py": Share("test_a_queue_is_paused_and_resumed", NONE),
    "tests/dashboard/test_screens_in_browser.py": Share("test_nothing_is_wider_than_the_screen", NONE),
    "tests/faults/": Share(NONE, NONE),
    "tests/faults/test_mutants_sqlite.py": Share(FIRST, NONE),
    "tests/faults/test_network.py": Share(NONE, FIRST),
    "tests/faults/test_processes.py": Share(FIRST, NONE),
    "tests/faults/test_proxy.py": Share(),
    "tests/faults/test_whereabouts.py": Share(FIRST, NONE),
    "tests/journey/": Share(FIRST, NONE),
    "tests/journey/test_bridge_bench.py": Share("test_sigterm_ends_it", NONE),
    "tests/journey/test_bridge_site.py": Share("test_the_schedules", NONE),
    "tests/journey/test_children.py": Share("test_an_idle_child_that_is_killed", NONE),
    "tests/journey/test_controls.py": Share("test_events_that_are_paused_by_their_name", NONE),
    "tests/journey/test_demo.py": Share(NONE, NONE),
    "tests/journey/test_dead_letter_plans.py": Share(NONE, NONE),
    "tests/journey/test_doctor.py": Share("test_something_is_not_well", NONE),
    "tests/journey/test_dying_children.py": Share("test_children_that_end_before_their_first_request", NONE),
    "tests/journey/test_ending.py": Share("test_sigterm_finishes_what_runs", NONE),
    "tests/journey/test_foreign_servers.py": Share("test_flups_own_threaded_server", NONE),
    "tests/journey/test_handling.py": Share("test_the_policy_of_an_event", NONE),
    "tests/journey/test_history.py": Share("test_the_progress_of_a_running_event", NONE),
    "tests/journey/test_lying_server.py": Share("test_a_reply_that_is_cut_anywhere", NONE),
    "tests/journey/test_mailboxes.py": Share(FIRST, FIRST),
    "tests/journey/test_ordered.py": Share(NONE, NONE),
    "tests/journey/test_outcomes.py": Share(),
    "tests/journey/test_pool_hard_end.py": Share("test_the_stacks_are_those_of_all_threads", NONE),
    "tests/journey/test_pool_preload.py": Share("test_the_app_is_imported_once", NONE),
    "tests/journey/test_pool_recycling.py": Share("test_by_memory", NONE),
    "tests/journey/test_pool_reload.py": Share("test_the_old_version_finishes_its_events", NONE),
    "tests/journey/test_pool_spare.py": Share("test_spare_0_boots_no_spare", NONE),
    "tests/journey/test_pool_status.py": Share("test_for_people_it_is_a_table", NONE),
    "tests/journey/test_progress.py": Share("test_a_child_that_writes_anything", NONE),
    "tests/journey/test_rates.py": Share(NONE, NONE),
    "tests/journey/test_retries.py": Share("test_only_the_queue_that_failed", "test_a_delayed_event_is_not_early"),
    "tests/journey/test_schedules.py": Share("test_a_schedule_whose_event_no_queue_takes", NONE),
    "tests/journey/test_site_status.py": Share(NONE, NONE),
    "tests/outbox/test_programs.py": Share(rabbitmq=NONE),
    "tests/sidekiq/test_programs.py": Share(rabbitmq=NONE),
}
"""For the beginning of a module's path, what is run of it. The longest beginning counts."""

LONG = {
    "tests/contract/test_claims.py": ["test_a_try_that_is_cancelled_ends"],
    "tests/contract/test_dead_letter_at_home.py": ["test_an_exported_test_fails_before_the_fix"],
    "tests/contract/test_dead_letter_plans.py": ["test_a_plan_puts_all_letters_back"],
    "tests/contract/test_history.py": ["test_old_attempts_are_removed"],
    "tests/contract/test_logs.py": ["test_too_much_to_append_soon"],
    "tests/contract/test_operating.py": ["test_a_cancellation_that_the_broker_does_not_take"],
    "tests/contract/test_registry.py": ["test_fifty_workers_answer"],
    "tests/contract/test_sqlite_processes.py": ["test_many_processes_lose_nothing"],
    "tests/contract/test_sqlite_rows.py": ["test_burst_in_order"],
    "tests/outbox/test_articles_example.py": ["test_a_row_of_psql_is_an_event"],
    "tests/outbox/test_model_events.py": ["test_many_threads"],
    "tests/outbox/test_relaying.py": [
        "test_an_event_waits_for_an_earlier_one_of_its_key_that_another_relay_has",
        "test_relays_share_the_work_and_keep_the_order_of_each_key",
    ],
    "tests/outbox/test_triggers.py": ["test_hostile_identifiers", "test_many_columns_and_large_values"],
    "tests/sidekiq/test_relaying.py": ["test_large_jobs_travel"],
    "tests/unit/bridge/local_database/test_greenlets.py": ["test_a_busy_file_lets_other_greenlets_run"],
    "tests/unit/test_package.py": ["test_a_second_build_makes_the_same_bytes"],
    "tests/unit/test_programs.py": ["test_an_unreachable_broker_exits_with_3[bridge-bench]"],
}
"""The beginnings of the names of single tests that take several seconds, in modules that are run otherwise."""


class Collected(NamedTuple):
    """A test that pytest has collected: the path of its module from the root of the repository, its name, its marks."""

    path: str
    name: str
    rabbitmq: bool
    long: bool


def left_to_test_all(tests: Sequence[Collected]) -> Iterable[int]:
    """Yield the places of the tests that the short run does not have."""
    begun: set[tuple[str, bool]] = set()
    for place, test in enumerate(tests):
        share, kind = share_of(test), (test.path, test.rabbitmq)
        if is_long(test) or share == NONE or (share != ALL and kind in begun):
            yield place
        elif share in (ALL, FIRST) or test.name.startswith(share):
            begun.add(kind)
        else:
            yield place


def is_long(test: Collected) -> bool:
    """Return True if the test is marked, or in the table `LONG`."""
    return test.long or test.name.startswith(tuple(LONG.get(test.path, ())))


def share_of(test: Collected) -> str:
    """Return what the short run has of the tests of this module with this broker."""
    beginning = max(filter(test.path.startswith, SHORT_RUN), key=len)
    share = SHORT_RUN[beginning]
    return share.rabbitmq if test.rabbitmq else share.others
