"""The first process of a container: an init for a program that starts processes.

The kernel gives each orphan to process 1, and keeps it as a zombie until process 1 waits for it. It also ignores
signals that process 1 has no handler for. A container without an init (`docker run --init`) makes the program process
1. So the program is then run in a child, and process 1 only passes signals on and waits.
"""

import os
import signal
from typing import NoReturn

from bridge.console.exit_codes import BY_SIGNAL

FIRST = 1

_NOT_PASSED_ON = {signal.SIGCHLD, signal.SIGKILL, signal.SIGSTOP}


def run_under_an_init() -> None:
    """Return in a child process if this is process 1, and else at once. Call it before any thread is started."""
    if os.getpid() != FIRST:
        return
    passed_on = signal.valid_signals() - _NOT_PASSED_ON
    # Blocked before the fork, so that none is lost.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*passed_on, signal.SIGCHLD})
    program = os.fork()
    if program == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return
    _be_init(program, passed_on)


def _be_init(program: int, passed_on: set[signal.Signals]) -> NoReturn:
    """Pass signals on to the program, and wait for every process, until the program ends. Exit as the program did."""
    while True:
        received = signal.sigwait({*passed_on, signal.SIGCHLD})
        if received == signal.SIGCHLD:
            _wait_for_ended(program)
        else:
            os.kill(program, received)


def _wait_for_ended(program: int) -> None:
    """Wait for all processes that have ended. If the program is one of them, exit as it did."""
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == program:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else BY_SIGNAL - code)
        if pid == 0:
            return
