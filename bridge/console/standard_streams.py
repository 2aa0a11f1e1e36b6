"""The standard streams of a process that was started without them, or whose app has closed them. A socket would get the
descriptor of a missing one, and what is printed would go there."""

import os
import sys


def open_standard_streams() -> None:
    """Open /dev/null in the place of each missing stream, for Python too."""
    open_descriptors()
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, "r" if name == "stdin" else "w", closefd=False))


def open_descriptors() -> None:
    """Open /dev/null as each of the descriptors 0, 1 and 2 that is closed."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
            os.set_inheritable(descriptor, True)
