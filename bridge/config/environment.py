"""The settings in environment variables, and the variables that look like one and are none."""

from collections.abc import Iterable, Iterator, Mapping

PREFIX = "BRIDGE_"
CONFIG = "BRIDGE_CONFIG"
CHECKED = "BRIDGE_CHECKED"
"""Set by a program for the processes that it starts: it has already reported the unknown variables."""


def variable(key: str) -> str:
    """Return the environment variable of a setting."""
    return PREFIX + key.upper()


def of_environment(environ: Mapping[str, str], keys: Iterable[str]) -> dict[str, str]:
    """Return the settings in the environment."""
    return {key: environ[variable(key)] for key in keys if variable(key) in environ}


def unknown_variables(environ: Mapping[str, str], keys: Iterable[str]) -> Iterator[str]:
    """Yield a sentence about each `BRIDGE_*` variable that is no setting, with the nearest one that is. Other programs
    may have such variables, so they are no error."""
    known = {*map(variable, keys), CONFIG}
    unknown = sorted(name for name in environ if name.startswith(PREFIX) and name not in known)
    if not unknown or CHECKED in environ:
        return
    from difflib import get_close_matches  # not needed in a process whose variables are in order

    for name in unknown:
        nearest = get_close_matches(name, known, 1)
        hint = f"; the nearest is {nearest[0]}" if nearest else ""
        yield f"environment variable {name} is no setting{hint}"
