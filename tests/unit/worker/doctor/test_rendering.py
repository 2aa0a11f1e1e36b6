"""Findings for people and for machines."""

import json

from bridge.findings import ok, some, unknown, wrong
from worker.doctor.rendering import as_json, as_text

FINDINGS = [ok("broker", "RabbitMQ 4.0"), wrong("unrouted", "2 messages", "look"), unknown("clock", "?", "date -u")]


def test_for_people() -> None:
    """A line each, the next step below it, and the sum."""
    assert as_text(FINDINGS).splitlines() == [
        "ok       broker    RabbitMQ 4.0",
        "WRONG    unrouted  2 messages",
        "                   → look",
        "unknown  clock     ?",
        "                   → date -u",
        "",
        "Not all is well: 1 wrong, 1 unknown.",
    ]


def test_all_is_well() -> None:
    """Then the sum is short."""
    assert as_text(FINDINGS[:1]).endswith("\n\nAll is well.")


def test_no_finding_commands_a_terminal() -> None:
    """What a broker calls its queues is printed as text."""
    assert "\\x1b[2J" in as_text([ok("queues", "\x1b[2J")])


def test_for_machines() -> None:
    """The same, with the states by name."""
    told = json.loads(as_json(FINDINGS))

    assert told["ok"] is False
    assert told["findings"][1] == {
        "subject": "unrouted",
        "state": "wrong",
        "sentence": "2 messages",
        "next_step": "look",
    }


def test_many_names() -> None:
    """As many as asked for, and how many more."""
    assert some(["a", "b"]) == "a, b"
    assert some(["a", "b", "c", "d"], 2) == "a, b and 2 more"
