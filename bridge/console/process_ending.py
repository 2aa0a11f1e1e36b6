"""How a process ended, in words."""

import signal


def ending(status: int) -> str:
    """Return in words how a process ended, from its exit status or the negative number of its signal."""
    if status >= 0:
        return f"ended with exit status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:  # a real-time signal
        return f"was ended by signal {-status}"


KILLED = ending(-signal.SIGKILL)
"""How a process ends that somebody else has killed: the out-of-memory killer, or a person."""
