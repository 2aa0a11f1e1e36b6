"""When a publisher's events were on the disk: read from strace, for no process knows what the kernel was told. Pure."""

import re
from collections.abc import Iterable
from pathlib import Path

STRACE = ("strace", "-f", "-qq", "-y", "-s", "200", "-e", "trace=write,fsync,fdatasync")
"""What makes such a trace of a program; `-o FILE` says where. In containers it may need the right to trace."""

_LINE = re.compile(r"(\d+) +(?:<\.\.\. )?(\w+)(?:\(\d+<([^>]*)>| resumed>)(.*)")
_NOTE = re.compile(r'\\"what\\": \\"(invoke|ok)\\".*\\"key\\": \\"([^\\]+)\\"')


def unsynced(trace: Iterable[str], file: Path, history: Path) -> list[str]:
    """Return the keys of the events that were confirmed (a line of the history) and for which no sync of the file had
    begun and ended since they were invoked."""
    missing: list[str] = []
    open_syncs: dict[str, set[str]] = {}
    waiting: set[str] = set()
    synced: set[str] = set()
    for line in trace:
        found = _LINE.match(line)
        if found is None:
            continue
        thread, call, path, rest = found.groups()
        if call == "write" and path == str(history) and (note := _NOTE.search(rest)):
            what, key = note.groups()
            if what == "invoke":
                waiting.add(key)
            elif key not in synced:
                missing.append(key)
        elif call in ("fsync", "fdatasync"):
            if path == str(file):
                open_syncs[thread] = set(waiting)
            if thread in open_syncs and rest.endswith("= 0"):
                done = open_syncs.pop(thread)
                synced |= done
                waiting -= done
    return missing
