"""The doctor's check of who can use the site's files: the database or spool, the settings with a password, and the
control directory."""

import os
import shlex
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from bridge.brokers.contract.findings import Finding, ok, wrong
from bridge.config.hiding import has_password
from bridge.config.settings import Settings
from bridge.config.sqlite_url import is_sqlite, path_in
from bridge.local_database.private_files import PRIVATE, PRIVATE_FOLDER, SHARED
from bridge.looking import is_missing
from worker.control.control_directory import directories_of, why_not_believed

_OTHERS = 0o007
_OTHERS_WRITE = 0o002


def examine(settings: Settings) -> Sequence[Finding]:
    """Look at the modes of the files. A missing file is in order."""
    found = [
        *_database(settings),
        *(finding for path in _with_a_password(settings) for finding in judge_secret(path, _mode(path))),
        *(finding for path in directories_of(settings.values) if not is_missing(path) for finding in _control(path)),
    ]
    return found or [ok("modes", "no other user of this machine can use the site's files")]


def judge_files(modes: Iterable[tuple[Path, int]], *, shared: bool) -> Sequence[Finding]:
    """Judge the files of a database by their modes. `shared`: a group may use them."""
    allowed = SHARED if shared else PRIVATE
    wide = [(path, mode) for path, mode in modes if mode & ~allowed & 0o777]
    if not wide:
        return []
    listed = ", ".join(f"{path} {mode:04o}" for path, mode in wide)
    step = shlex.join(["chmod", f"{allowed:04o}", *(str(path) for path, _ in wide)])
    if not shared:
        step += "; or set file_group, if a group shares them"
    return [wrong("modes", f"others can use files with events in them: {listed}", step)]


def judge_folder(folder: Path, mode: int | None) -> Sequence[Finding]:
    """Judge the directory of a database: whoever can write there can replace the files in it."""
    if mode is None or not mode & _OTHERS_WRITE:
        return []
    narrower = shlex.join(["chmod", "o-w", str(folder)])
    step = f"a directory of its own for the file, of mode {PRIVATE_FOLDER:04o}; or {narrower}"
    return [wrong("modes", f"every user of this machine can make files in {folder}: mode {mode:04o}", step)]


def judge_secret(path: Path, mode: int | None) -> Sequence[Finding]:
    """Judge a file that holds a password."""
    if mode is None or not mode & _OTHERS:
        return []
    step = shlex.join(["chmod", "o=", str(path)])
    return [
        wrong("modes", f"every user of this machine can read {path}, which holds a password: mode {mode:04o}", step)
    ]


def _database(settings: Settings) -> Iterator[Finding]:
    values = settings.values
    path = Path(path_in(values.broker_url)) if is_sqlite(values.broker_url) else Path(values.spool)
    beside = [path.with_name(path.name + part) for part in ("", "-wal", "-shm")]
    there = [(each, mode) for each in beside if (mode := _mode(each)) is not None]
    yield from judge_files(there, shared=values.file_group is not None)
    if there:
        yield from judge_folder(path.parent, _mode(path.parent))


def _with_a_password(settings: Settings) -> Iterator[Path]:
    """Yield the files in which a password of the broker is written."""
    values, file = settings.values, settings.file
    if values.broker_password_file is not None:
        yield (file.parent if file else Path.cwd()) / values.broker_password_file
    urls = {"management_url": values.management_url or ""}
    if values.broker_password_file is None:
        urls["broker_url"] = values.broker_url
    if file and any(has_password(url) and settings.origin(key) == str(file) for key, url in urls.items()):
        yield file


def _control(path: Path) -> Iterator[Finding]:
    if (why := why_not_believed(path)) is not None:
        own = shlex.join(["chmod", "0700", str(path)]) + "; or another control_directory"
        step = own if _is_own(path) else "run bridge-doctor as the user of the workers; or another control_directory"
        yield wrong("modes", f"bridge-status does not believe the workers in {path}: {why}", step)


def _is_own(path: Path) -> bool:
    try:
        return path.lstat().st_uid == os.geteuid()
    except PermissionError:
        return False


def _mode(path: Path) -> int | None:
    """Return the permissions of a file; None if it is not there or cannot be looked at."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None
