"""The tolerances of the judge, in seconds."""

GRACE = 0.25
"""Beyond its budget or timeout, after which a `defer()` or a call counts as hung."""

EARLY = 0.02
"""For times that two processes noted: a note is written a moment before or after the work."""

PAUSED_WITHIN = 1.0
"""Until a pause holds in every worker."""

CANCELLED_WITHIN = 1.0
"""Until every worker knows of a cancellation."""

CLEAN_UP = 1.5
"""Until a child beyond its deadline has reported its stacks and ended."""

STARVED = 2.0
"""That a worker may take longer on a machine that is busy with other tests."""
