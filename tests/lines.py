"""The lines of a file that other processes append to meanwhile."""

from pathlib import Path


def whole_lines(file: Path) -> list[str]:
    """Return the lines of the file, in order; none if it is not there yet. The last line is left out as long as its end
    is missing: a reader can see the beginning of what a single `write` appends, up to the border of a memory page."""
    try:
        whole, end, _ = file.read_bytes().rpartition(b"\n")
    except FileNotFoundError:
        return []
    return whole.decode().split("\n") if end else []
