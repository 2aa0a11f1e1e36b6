"""Findings as lines for people, and as JSON for machines. A command stays on one line, to be copied."""

import json
from collections import Counter
from collections.abc import Sequence

from bridge.findings import Finding, State

_SHOWN = {State.OK: "ok", State.WRONG: "WRONG", State.UNKNOWN: "unknown"}


def as_text(findings: Sequence[Finding]) -> str:
    """Return a line for each finding, the next step below it, and the sum at the end."""
    width = max(len(finding.subject) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{_SHOWN[finding.state]:8} {finding.subject:{width}}  {finding.sentence}")
        if finding.next_step is not None:
            lines.append(f"{'':8} {'':{width}}  → {finding.next_step}")
    return "\n".join([*map(_printable, lines), "", _sum(findings)])


def as_json(findings: Sequence[Finding]) -> str:
    """Return `ok`, whether all is well, and the findings."""
    listed = [
        {"subject": each.subject, "state": each.state, "sentence": each.sentence, "next_step": each.next_step}
        for each in findings
    ]
    return json.dumps({"ok": all(each.state is State.OK for each in findings), "findings": listed}, indent=2)


def _printable(line: str) -> str:
    """Return the line with what a broker or a path may have put into it escaped: it could command a terminal."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in line)


def _sum(findings: Sequence[Finding]) -> str:
    counts = Counter(finding.state for finding in findings)
    if counts[State.OK] == len(findings):
        return "All is well."
    parts = [f"{counts[state]} {state}" for state in (State.WRONG, State.UNKNOWN) if counts[state]]
    return f"Not all is well: {', '.join(parts)}."
