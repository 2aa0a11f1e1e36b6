"""bridge-dlq groups on both brokers: what is dead and what is still retrying, by cause."""

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from bridge.attempt import Error
from bridge.brokers.contract.broker import Broker
from bridge.config.values import HistorySettings
from bridge.history import record_of
from bridge.site_logs import FAILURES, HISTORY
from tests.contract.acts import an_event, now
from tests.contract.conftest import Site
from tests.contract.dead_letter_program import Dlq

TRACE = 'Traceback (most recent call last):\n  File "/srv/shop/mails.py", line 7, in welcome\n    x\nKeyError: 1\n'


@pytest.fixture
def dlq(site: Site, tmp_path: Path) -> Iterator[Dlq]:
    """The program on an empty ledger and an empty history."""
    yield Dlq.on(site, tmp_path)
    for log in (HISTORY, FAILURES.name):
        asyncio.run(site.drop_log(log))


def _missing(number: int) -> Error:
    return Error("KeyError", f"no customer {number}", TRACE)


def _retries(dlq: Dlq, *ids: str) -> None:
    """Write attempts that are retried to the history, as a worker does."""
    at = now()
    error = ["KeyError", "no customer 99", "shop/mails.py welcome"]
    more = {"error": error, "release": "v43", "due": (at + timedelta(hours=1)).timestamp()}
    rows = [[at.timestamp(), 0.1, each, "mail.sent", "mail", 2, "retried", more] for each in ids]

    async def write(broker: Broker) -> None:
        log = broker.log(HISTORY, HistorySettings().retention() or pytest.fail("no history"))
        await log.append(record_of(rows, "web1", 7))
        await log.close()

    dlq.with_broker(write)


def test_dead_and_retrying_make_one_group(dlq: Dlq) -> None:
    """Letters and retrying events with one cause are counted together, whatever the values in their messages are."""
    dlq.kill(an_event("mail.sent"), error=_missing(17))
    dlq.kill(an_event("mail.sent", b'{"id": 18, "to": "x"}'), error=_missing(18))
    dlq.kill(an_event("order.paid"))
    _retries(dlq, "e-1", "e-2")

    groups = [json.loads(line) for line in dlq("groups", "--json").stdout.splitlines()]

    first, second = groups
    assert first["title"] == "KeyError: no customer #, in shop/mails.py welcome"
    assert (first["dead"]["count"], first["retrying"]["count"], second["dead"]["count"]) == (2, 2, 1)
    assert (first["releases"], first["payload_keys"]) == ({"v42": 2, "v43": 2}, {"id": 2, "to": 1})
    assert first["in_common"].startswith("2 releases · queue mail · event mail.sent · source ")
    assert first["in_common"].endswith(" · payload has id; to in 1 of 2")


def test_the_table_names_the_next_commands(dlq: Dlq) -> None:
    """The table has a row for each group. A group is named by its id, or by the beginning of its id."""
    dlq.kill(an_event("mail.sent"), error=_missing(17))
    dlq.kill(an_event("order.paid"))
    group = json.loads(dlq("groups", "list", "--json", "--limit", "1").stdout)["group"]

    table = dlq("groups")
    listed = dlq("list", "--ids", "--json", "--group", group[:5])

    assert f"{group}\n" in dlq("show", str(json.loads(listed.stdout)["number"])).stdout
    assert json.loads(listed.stdout)["group"] == group
    assert table.exit_code == 0
    assert f"list --ids --group {group}" in table.stdout
    assert [line for line in table.stdout.splitlines() if line.startswith(f"{group}  ")]


def test_without_a_letter_the_table_names_an_event_that_is_retrying(dlq: Dlq) -> None:
    """There is nothing to list or to redrive yet. `bridge-dlq list` leads to the groups."""
    _retries(dlq, "0-ba0987654321")

    table, listed = dlq("groups"), dlq("list")

    assert table.stdout.splitlines()[-1].endswith(" show ba0987654321")
    assert "Next: bridge-events " in table.stdout
    assert "redrive" not in table.stdout
    assert "Events that failed and are still retried: bridge-dlq " in listed.stdout
    assert listed.stdout.splitlines()[-1].endswith(" groups")


def test_letters_are_selected_by_their_release(dlq: Dlq) -> None:
    """The release is that of the last attempt."""
    dlq.die("mail.sent")

    assert len(dlq("list", "--ids", "--json", "--release", "v42").stdout.splitlines()) == 1
    assert dlq("list", "--ids", "--json", "--release", "v4").stdout == ""


def test_without_failures_there_is_no_group(dlq: Dlq) -> None:
    """A site without a history and without letters is well."""
    result = dlq("groups")

    assert (result.exit_code, result.stdout) == (0, "No open dead letters, and no event is retrying.\n")


def test_a_wrong_id_of_a_group_is_named(dlq: Dlq) -> None:
    """The message has what was given and what is expected."""
    result = dlq("list", "--group", "xyz")

    assert result.exit_code == 2
    assert "'xyz': expected the id of a group" in result.stderr


def test_decisions_about_a_group_are_seen_by_all(dlq: Dlq) -> None:
    """A group is known, quiet or fixed for every later look. Without a decision it is new."""
    dlq.kill(an_event("mail.sent"), error=_missing(17))

    def state() -> tuple[str, str]:
        (line,) = dlq("groups", "--json").stdout.splitlines()
        found = json.loads(line)["state"]
        return found["word"], found["why"]

    group = json.loads(dlq("groups", "--json").stdout)["group"]
    assert state() == ("new", "")
    assert dlq("groups", "note", group, "ticket 4711").stdout.startswith(f"{group} is known: KeyError")
    assert state() == ("known", "ticket 4711")
    assert dlq("groups", "quiet", group[:4], "--count", "2").exit_code == 0
    assert state() == ("quiet", "until it has 2 failures")
    dlq.kill(an_event("mail.sent"), error=_missing(18))
    assert state()[0] == "reopened"
    assert dlq("groups", "fixed", group, "v43", "--why", "checks", "--json").exit_code == 0
    assert state() == ("fixed", "in v43")
    assert "fixed by ann@" in dlq("groups").stdout
    assert dlq("groups", "reopen", group).exit_code == 0
    assert state() == ("new", "")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("note", "0123abcd", "why"), "no group has an id that begins with 0123abcd"),
        (("note", "xyz", "why"), "expected the id of a group"),
        (("quiet", "0123abcd"), "quiet until when? Expected --for, --count or --rate"),
        (("quiet", "0123abcd", "--for", "soon"), "'soon': expected a time such as"),
    ],
)
def test_a_wrong_decision_is_named(dlq: Dlq, words: tuple[str, ...], expected: str) -> None:
    """The exit code is 2, and nothing is decided."""
    result = dlq("groups", *words)

    assert result.exit_code == 2
    assert expected in " ".join(result.stderr.split())
