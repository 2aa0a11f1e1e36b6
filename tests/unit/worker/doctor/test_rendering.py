"""The rendering of findings as text and as JSON."""

import json

from bridge.brokers.contract.findings import ok, some, unknown, wrong
from worker.doctor.rendering import as_json, as_text

FINDINGS = [ok("broker", "RabbitMQ 4.0"), wrong("unrouted", "2 messages", "look"), unknown("clock", "?", "date -u")]


def test_text() -> None:
    """Each finding has a line, with the next step below it. A summary follows."""
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
    """The summary is short then."""
    assert as_text(FINDINGS[:1]).endswith("\n\nAll is well.")


def test_control_characters_do_not_reach_the_terminal() -> None:
    """The names of a broker's queues may contain any."""
    assert "\\x1b[2J" in as_text([ok("queues", "\x1b[2J")])


def test_json() -> None:
    """The JSON has the same findings, with the names of their states."""
    document = json.loads(as_json(FINDINGS))

    assert document["ok"] is False
    assert document["findings"][1] == {
        "subject": "unrouted",
        "state": "wrong",
        "sentence": "2 messages",
        "next_step": "look",
    }


def test_many_names() -> None:
    """The first names are listed, and the number of the others."""
    assert some(["a", "b"]) == "a, b"
    assert some(["a", "b", "c", "d"], 2) == "a, b and 2 more"
