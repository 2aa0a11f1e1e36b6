"""A program that is started without its standard streams."""

import subprocess
import sys

import pytest

PROGRAM = """
import os, sys
from bridge.console.standard_streams import open_standard_streams
open_standard_streams()
for descriptor in ({closed}):
    assert os.readlink(f"/proc/self/fd/{{descriptor}}") == "/dev/null", descriptor
    assert os.get_inheritable(descriptor)
print("hello", flush=True)
print("hello", file=sys.stderr, flush=True)
assert sys.stdin is not None
os._exit(7)
"""


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2), (0, 2)])
def test_a_missing_stream_becomes_dev_null(closed: tuple[int, ...]) -> None:
    """The others stay as they are."""
    code = PROGRAM.format(closed=", ".join(map(str, closed)) + ",")
    redirections = " ".join(f"{descriptor}>&-" for descriptor in closed)

    ran = subprocess.run(
        ["sh", "-c", f'exec "$0" -c "$1" {redirections}', sys.executable, code],
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 7, ran.stderr
    assert ran.stdout == ("" if 1 in closed else "hello\n")
    assert ran.stderr == ("" if 2 in closed else "hello\n")
