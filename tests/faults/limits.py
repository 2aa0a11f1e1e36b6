"""The limits of time in ordeals, in seconds. They are for a machine that is ten times as slow as an idle one, and an
ordeal waits for all of a limit only if something is wrong."""

STEP = 180.0
"""For a step of an ordeal: a program starts or ends, some events run."""

DRAIN = 480.0
"""For a drain. Each input fault can leave some ten thousand foreign messages in the queue."""

ORDEAL = 900.0
"""For a short ordeal. On an idle machine the longest one takes some 50 s."""

TEST = 1200.0
"""For a test: an ordeal, the start of its broker before, and the removal of its site after it."""
