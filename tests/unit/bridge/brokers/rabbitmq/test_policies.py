"""Policies of a virtual host, and their harm to the bridge's queues."""

from typing import Any

import pytest

from bridge.brokers.rabbitmq.inspection.policies import Policies
from bridge.brokers.rabbitmq.topology.declarations import AmqpQueue, declarations
from bridge.brokers.rabbitmq.topology.names import Names
from bridge.queues import Queue

QUEUES = [each for each in declarations(Names("shop"), [Queue("default")]) if isinstance(each, AmqpQueue)]
LADDER = [each.name for each in QUEUES if each.name.startswith("shop.delay.")]
LOGS = [each.name for each in QUEUES if each.name.startswith("shop.log.")]
QUORUM = [each.name for each in QUEUES if each.name not in ("shop.dead", *LOGS)]


def policy(pattern: str, priority: int = 0, apply_to: str = "all", **definition: Any) -> dict[str, Any]:
    """Return a policy as the management API lists it."""
    keys = {key.replace("_", "-"): value for key, value in definition.items()}
    name = f"{pattern} at {priority}"
    return {"name": name, "pattern": pattern, "priority": priority, "apply-to": apply_to, "definition": keys}


def harmed(*policies: dict[str, Any], operator: bool = False) -> dict[str, list[str]]:
    """Return the queues that each key harms."""
    listed = Policies([], policies) if operator else Policies(policies, [])
    return {f"{harm.key} = {harm.value}: {harm.why}": queues for harm, queues in listed.harms(QUEUES).items()}


@pytest.mark.parametrize("operator", [True, False])
@pytest.mark.parametrize("key", ["expires", "max_length", "max_length_bytes"])
def test_a_limit_on_everything_harms_all_quorum_queues(key: str, operator: bool) -> None:
    """A stream knows some of these keys and ignores the others."""
    definition: dict[str, Any] = {key: 60_000}
    found = harmed(policy(".*", **definition), operator=operator)

    assert [each for queues in found.values() for each in queues if each not in ("shop.dead", *LOGS)] == QUORUM


def test_a_time_to_live_harms_where_it_is_shorter_than_declared() -> None:
    """A level of the delay ladder that is shorter anyway is not changed by it."""
    (queues,) = harmed(policy(".*", message_ttl=8_000)).values()

    assert "shop.q.default" in queues
    assert [each for each in queues if each in LADDER] == [f"shop.delay.{level:02}" for level in range(4, 20)]


@pytest.mark.parametrize(
    "harmless",
    [
        policy("^other", expires=1),
        policy("^shop", apply_to="exchanges", expires=1),
        policy("^shop", apply_to="classic_queues", expires=1),
        policy("^shop", consumer_timeout=1, queue_leader_locator="balanced"),
        policy("delay", apply_to="quorum_queues", overflow="reject-publish", delivery_limit=10**6),
        policy("(", expires=1),
    ],
)
def test_other_policies_harm_nothing(harmless: dict[str, Any]) -> None:
    """They have another pattern, another kind of object, or keys that keep all events."""
    assert harmed(harmless) == {}


def test_the_highest_priority_applies() -> None:
    """RabbitMQ applies one policy to a queue."""
    assert harmed(policy(".*", 0, expires=1), policy("^shop", 5, max_age="1D"), policy("q", -1, expires=2)) == {
        "max-age = 1D: trims the ledger, undecided letters too": ["shop.dead"],
        "max-age = 1D: trims this log: pauses, cancelled events or moments of schedules are forgotten": LOGS,
    }


def test_an_operator_policy_applies_beside_a_policy() -> None:
    """The keys of both are judged."""
    both = Policies([policy("default$", expires=5)], [policy("default$", max_length=7)])

    assert {(harm.kind, harm.key) for harm in both.harms(QUEUES)} == {
        ("policy", "expires"),
        ("operator_policy", "max-length"),
    }
