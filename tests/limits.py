"""The limits of time in tests, in seconds. They are for a machine that stalls for a while, or is ten times as slow as
an idle one: a test waits for all of a limit only if something is wrong. `tests/faults/limits.py` has those of ordeals.

A shorter time is right only where the time is the behaviour, such as "nothing arrives within 0.3 s".

Pytest ends a test after 600 seconds (`timeout` in pyproject.toml), which are two long waits and a short one: a test in
which more waits fail than those is ended without their reports."""

PATIENCE = 120.0
"""For one wait: a program starts or ends, a broker answers, some events run."""

LONG = 240.0
"""For a wait for much work: thousands of events, a program that measures."""
