"""The known name that is closest to a mistyped one, for messages."""

from collections.abc import Iterable


def closest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is closest to this one, in whichever case and with - for _; None if none is close."""
    from difflib import get_close_matches  # imported here, because only a mistake needs it

    by_plain = {_plain(each): each for each in known}
    found = get_close_matches(_plain(name), by_plain, n=1, cutoff=0.6)
    return by_plain[found[0]] if found else None


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")
