"""Notes how long a process was kept from running by a machine that has too much to do: then it is the machine that is
slow. What a process keeps itself busy with is no excuse, and is not noted.
"""

import os
import threading
import time

from tests.faults.history import History

PERIOD = 0.02
NOTED = 0.02
"""Seconds without the processor from which on they are noted."""


def feel(history: History) -> None:
    """Begin to note it, for as long as this process lives."""
    threading.Thread(target=_beat, args=(history,), name="pulse", daemon=True).start()


def _beat(history: History) -> None:
    while True:
        began, used = time.monotonic(), time.process_time()
        time.sleep(PERIOD)
        lasted = time.monotonic() - began - PERIOD - (time.process_time() - used)
        if lasted >= NOTED:
            history.note("starved", pid=os.getpid(), lasted=lasted)
