"""The doctor's findings as text for people, and as JSON for programs. A command stays on one line, to be copied."""

from collections import Counter
from collections.abc import Sequence

from bridge.brokers.contract.findings import Finding, FindingState
from bridge.console.printable import json_text, printable

_SHOWN = {FindingState.OK: "ok", FindingState.WRONG: "WRONG", FindingState.UNKNOWN: "unknown"}


def as_text(findings: Sequence[Finding]) -> str:
    """Return a line for each finding, with the next step below it, and a summary at the end."""
    width = max(len(finding.subject) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{_SHOWN[finding.state]:8} {finding.subject:{width}}  {finding.sentence}")
        if finding.next_step is not None:
            lines.append(f"{'':8} {'':{width}}  → {finding.next_step}")
    return "\n".join([*map(printable, lines), "", _sum(findings)])


def as_json(findings: Sequence[Finding]) -> str:
    """Return the findings as a JSON object: `ok`, whether all is well, and `findings`."""
    listed = [
        {"subject": each.subject, "state": each.state, "sentence": each.sentence, "next_step": each.next_step}
        for each in findings
    ]
    return json_text({"ok": all(each.state is FindingState.OK for each in findings), "findings": listed}, indent=2)


def _sum(findings: Sequence[Finding]) -> str:
    counts = Counter(finding.state for finding in findings)
    if counts[FindingState.OK] == len(findings):
        return "All is well."
    parts = [f"{counts[state]} {state}" for state in (FindingState.WRONG, FindingState.UNKNOWN) if counts[state]]
    return f"Not all is well: {', '.join(parts)}."
