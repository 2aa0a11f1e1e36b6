"""The decision what to do when a process of a site has ended. Pure."""

from dataclasses import dataclass

from bridge.back_off import BackOff
from bridge.console.exit_codes import ExitCode

HOPELESS = (ExitCode.USAGE, ExitCode.APP)
"""Exit codes that another start would not change."""

STABLE_SECONDS = 60.0
"""A process that was ready for this long has no failures behind it."""

_AGAIN = BackOff(1.0, 30.0)


@dataclass(frozen=True, slots=True)
class StartAgain:
    """Start the process again after this many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """End the whole site with this exit code."""

    code: int


def after_end(code: int, *, was_ever_ready: bool, failures: int, chance: float, patient: bool) -> StartAgain | GiveUp:
    """Return what to do after a process ended with this exit code (negative: by a signal) that nobody asked for.

    `failures` counts its ends in a row, this one included. `was_ever_ready`: a start with these settings has worked
    before. `patient`: a person is mending the app, so a start that fails is tried again when a file has changed.
    """
    if code in HOPELESS and not was_ever_ready and not patient:
        return GiveUp(code)
    return StartAgain(_AGAIN.wait(failures, chance))
