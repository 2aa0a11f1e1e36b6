"""Opening a broker imports it, on any thread, whatever the process does meanwhile."""

import subprocess
import sys

import pytest

from tests.limits import PATIENCE

PROGRAM = """
import gc, importlib.abc, importlib.util, sys, threading
from itertools import count
from bridge.brokers.opening import open_broker

class AnyModule(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        return importlib.util.spec_from_loader(name, self) if name.startswith("new_") else None
    def create_module(self, spec): pass
    def exec_module(self, module): pass

class Garbage:
    numbers, here = count(), threading.local()
    def __init__(self):
        self.cycle = self
    def __del__(self):
        if not hasattr(self.here, "busy"):
            self.here.busy = True
            __import__(f"new_{next(self.numbers)}")
            del self.here.busy
            Garbage()

def open_it():
    Garbage()
    gc.set_threshold(1, 1, 1)
    try:
        open_broker(sys.argv[1], "bridge")
        print("opened, and garbage is collected:", gc.isenabled())
    finally:
        gc.disable()

sys.meta_path.insert(0, AnyModule())
thread = threading.Thread(target=open_it)
thread.start()
thread.join()
"""


@pytest.mark.parametrize("url", ["sqlite:///{}/bridge.db", "amqp://127.0.0.1:1/"])
def test_a_finalizer_that_imports_does_not_break_it(url: str, tmp_path: object) -> None:
    """Garbage is collected in the middle of anything. Afterwards it is collected again."""
    words = [sys.executable, "-c", PROGRAM, url.format(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False)

    assert done.stdout == "opened, and garbage is collected: True\n", done.stderr
