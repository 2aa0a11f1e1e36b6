"""A fuzz run against the readers of envelopes, dead letters and decisions: damaged JSON, and wrong values at any depth.

    python tests/fuzz/fuzz_letters.py --inputs 200000 --seed 1

It fails and prints the seed and the input if a reader raises another error than its own, or if a value that was read
cannot be written, stored in SQLite and read again, within the bounds. pytest does not run it.
"""

import argparse
import json
import random
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from bridge.attempt import Attempt, Error
from bridge.envelope import MAX_HEAD, Envelope, decode_head, encode_head
from bridge.errors import UnreadableEnvelope
from bridge.event import Event
from bridge.ledger import Discarded, Letter, Redriven, Transcript, summary
from bridge.letter_text import MAX_LETTER, decode_decision, decode_letter, encode_decision, encode_letter
from bridge.local_database.ledger_table import LedgerTable

NOW = datetime(2031, 2, 3, 4, 5, 6, 789, tzinfo=UTC)
NASTY: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 10**400, -0.0, 1e308, 1e400, float("nan"), 0.5),
    *(
        "",
        "x",
        "\ud800",
        "\0",
        '"' * 3000,
        "\\" * 3000,
        "€" * 70_000,
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59Z",
    ),
    *(
        [],
        {},
        [[[]]],
        {"a": {"b": [None]}},
        ["x"] * 3000,
        {"k" * 3000: "v"},
        {str(number): "v" for number in range(300)},
    ),
)


def a_letter() -> Letter:
    error = Error("ValueError", "no such account", "Traceback …")
    event = Event("0190-1", "order.paid", "shop", NOW, "application/json", b"{}", "00-1-2-01")
    envelope = Envelope(
        event, NOW, spent=1, waited=2.5, overloaded_since=NOW, deferred_again=1, finished=("a:b", "c:d")
    )
    for number in range(3):
        envelope = envelope.remember(Attempt(1, number, NOW, 0.25, "Failed", "v1", error))
    transcript = Transcript({"PATH_INFO": "/x"}, 500, {"a": "b"}, "body", "stderr")
    return Letter(NOW, "mail", "attempts used up", envelope, error, transcript, unread="{", unread_cut=3)


def change(rng: random.Random, value: Any) -> Any:
    """Return the JSON value with one part, at any depth, replaced, removed or added."""
    inside = isinstance(value, dict | list) and value and rng.random() < 0.85
    if not inside:
        return rng.choice(NASTY)
    if isinstance(value, list):
        place = rng.randrange(len(value))
        return [*value[:place], change(rng, value[place]), *value[place + 1 :]]
    key = rng.choice(list(value))
    roll = rng.random()
    if roll < 0.1:
        return {name: other for name, other in value.items() if name != key}
    if roll < 0.2:
        return value | {rng.choice(("", "x", "\ud800", key * 2)): rng.choice(NASTY)}
    text = value[key]
    if key == "envelope" and isinstance(text, str) and rng.random() < 0.8:
        return value | {key: json.dumps(change(rng, json.loads(text)))}
    return value | {key: change(rng, text)}


NOISE = (b"", b"[" * 5000, b'"', b"\\ud800", b"9" * 5000, b"\xff", b"1e999")


def damage(rng: random.Random, text: str) -> bytes:
    data = bytearray(text.encode(errors="replace"))
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(data) + 1)
        data[at : at + rng.choice((0, 1, 30))] = rng.choice(
            (b"", b"[" * 5000, b'"', b"\\ud800", b"9" * 5000, b"\xff", b"1e999")
        )
    return bytes(data)


def check_letter(text: str | bytes, table: LedgerTable) -> None:
    letter = decode_letter(text, b"data")
    again = encode_letter(letter)
    if len(again.encode()) > MAX_LETTER or decode_letter(again, b"data") != replace(letter, **_cut(letter, again)):
        raise AssertionError("the letter is too large, or it changed")
    head = encode_head(letter.envelope)
    if len(head.encode()) > MAX_HEAD:
        raise AssertionError("the head is too large")
    table.append_letter(letter)
    json.dumps(json.loads(again), allow_nan=False)
    summary(1, letter)


def _cut(letter: Letter, text: str) -> dict[str, Any]:
    """Return the parts of the letter that may be cut when it is written."""
    read = decode_letter(text, b"data")
    return {name: getattr(read, name) for name in ("envelope", "error", "transcript", "unread", "unread_cut")}


def check_head(text: str | bytes, table: LedgerTable) -> None:
    envelope = decode_head(text, b"data")
    head = encode_head(envelope.next_round(NOW))
    if len(head.encode()) > MAX_HEAD or decode_head(head, b"data").event != envelope.event:
        raise AssertionError("the head is too large, or the event changed")


def check_decision(text: str | bytes, table: LedgerTable) -> None:
    decision = decode_decision(1, text)
    if decode_decision(1, encode_decision(decision)) != decision:
        raise AssertionError("the decision changed")
    table.append(decision)


SUBJECTS: dict[str, tuple[str, Callable[[str | bytes, LedgerTable], None]]] = {
    "letter": (encode_letter(a_letter()), check_letter),
    "envelope": (encode_head(a_letter().envelope), check_head),
    "redriven": (encode_decision(Redriven(0, 3, NOW, "ann@host", "fixed")), check_decision),
    "discarded": (encode_decision(Discarded(0, 3, NOW, "ann@host", "fixed")), check_decision),
}


def an_input(rng: random.Random, good: str) -> str | bytes:
    if rng.random() < 0.3:
        return damage(rng, good)
    fields = json.loads(good)
    for _ in range(rng.choice((1, 1, 2))):
        fields = change(rng, fields)
    return json.dumps(fields, ensure_ascii=rng.random() < 0.5)


def ending(kind: str, text: str | bytes, table: LedgerTable) -> str:
    """Return how one reading ended. Raise every exception that is a finding."""
    try:
        SUBJECTS[kind][1](text, table)
    except UnreadableEnvelope:
        return "refused"
    except ValueError:
        if kind in ("redriven", "discarded"):
            return "refused"
        raise
    return "read"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=200_000, help="number of inputs (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the random numbers (default: %(default)s)")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    counts: Counter[tuple[str, str]] = Counter()
    started = time.perf_counter()
    table = LedgerTable(sqlite3.connect(":memory:", isolation_level=None))
    for number in range(arguments.inputs):
        if number % 1000 == 0:
            table = LedgerTable(sqlite3.connect(":memory:", isolation_level=None))
            table.create()
        kind = rng.choice(list(SUBJECTS))
        text = an_input(rng, SUBJECTS[kind][0])
        try:
            counts[kind, ending(kind, text, table)] += 1
        except Exception as error:  # any exception is a finding
            print(f"seed {arguments.seed}, input {number} ({kind}): {type(error).__name__}: {error}")
            print(f"{text!r:.2000}")
            return 1
    print(f"{arguments.inputs:,} inputs, seed {arguments.seed}, {time.perf_counter() - started:.0f} s: no finding")
    for (kind, ended), count in sorted(counts.items()):
        print(f"    {count:>10,}  {kind} {ended}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
