"""Finds events that were confirmed before the file was synced, in a trace by strace of the system calls. Pure."""

import re
from collections.abc import Iterable
from pathlib import Path

STRACE = ("strace", "-f", "-qq", "-y", "-s", "200", "-e", "trace=write,fsync,fdatasync")
"""The command that traces a program; `-o FILE` adds the output file. A container may need the right to trace."""

_LINE = re.compile(r"(\d+) +(?:<\.\.\. )?(\w+)(?:\(\d+<([^>]*)>| resumed>)(.*)")
_NOTE = re.compile(r'\\"what\\": \\"(invoke|ok)\\".*\\"key\\": \\"([^\\]+)\\"')


def unsynced(trace: Iterable[str], file: Path, history: Path) -> list[str]:
    """Return the keys of the events that were confirmed too early: the history has their `ok` although no sync of the
    file began and ended after their `invoke`."""
    missing: list[str] = []
    open_syncs: dict[str, set[str]] = {}
    waiting: set[str] = set()
    synced: set[str] = set()
    for line in trace:
        found = _LINE.match(line)
        if found is None:
            continue
        thread, call, path, tail = found.groups()
        if call == "write" and path == str(history) and (note := _NOTE.search(tail)):
            what, key = note.groups()
            if what == "invoke":
                waiting.add(key)
            elif key not in synced:
                missing.append(key)
        elif call in ("fsync", "fdatasync"):
            if path == str(file):
                open_syncs[thread] = set(waiting)
            if thread in open_syncs and tail.endswith("= 0"):
                done = open_syncs.pop(thread)
                synced |= done
                waiting -= done
    return missing
