"""Notes for how long a process had no CPU because the machine was busy, so that the judge can subtract that time.

The time for which a process itself uses the CPU does not count.
"""

import os
import threading
import time

from tests.faults.history import History

PERIOD = 0.02
NOTED = 0.02
"""The shortest time without CPU that is noted, in seconds."""


def feel(history: History) -> None:
    """Note the times without CPU, as long as this process lives."""
    threading.Thread(target=_beat, args=(history,), name="pulse", daemon=True).start()


def _beat(history: History) -> None:
    while True:
        began, used = time.monotonic(), time.process_time()
        time.sleep(PERIOD)
        lasted = time.monotonic() - began - PERIOD - (time.process_time() - used)
        if lasted >= NOTED:
            history.note("starved", pid=os.getpid(), lasted=lasted)
