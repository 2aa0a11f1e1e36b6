"""Builds the wheel and the source distribution. The same Python and setuptools make the same bytes everywhere.

    python scripts/build_package.py [DIRECTORY]

Files of the work tree that git knows are copied to a temporary directory and built there. All times are
SOURCE_DATE_EPOCH, or without it the time of the last commit; modes are those of git, and the owner is root. It needs
setuptools, of requirements/build.txt, and asks no package index.
"""

import gzip
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
IN_ITS_DIRECTORY = "from setuptools import build_meta as b; b.build_wheel('out'); b.build_sdist('out')"


def build(directory: Path, epoch: int) -> list[Path]:
    """Build into this directory, with this time for all files; return the wheel and the source distribution."""
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary)
        _copy_known_files(copy, epoch)
        environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch), "PYTHONHASHSEED": "0"}
        command = [sys.executable, "-c", IN_ITS_DIRECTORY]
        subprocess.run(command, cwd=copy, env=environment, umask=0o022, check=True, capture_output=True)
        [wheel] = (copy / "out").glob("*.whl")
        [sources] = (copy / "out").glob("*.tar.gz")
        built = [directory / wheel.name, directory / sources.name]
        shutil.copyfile(wheel, built[0])
        built[1].write_bytes(_without_surroundings(sources, epoch))
    return built


def _copy_known_files(target: Path, epoch: int) -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        source = ROOT / name
        if not source.is_file():  # deleted in the work tree
            continue
        copied = target / name
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copied)
        copied.chmod(0o755 if os.access(source, os.X_OK) else 0o644)
        os.utime(copied, (epoch, epoch))


def _without_surroundings(archive: Path, epoch: int) -> bytes:
    """Return the archive sorted by name, with one time, and without owners: setuptools writes those of the builder."""
    written = io.BytesIO()
    with tarfile.open(archive) as old, tarfile.open(fileobj=written, mode="w", format=tarfile.PAX_FORMAT) as new:
        for member in sorted(old.getmembers(), key=lambda member: member.name):
            member.mtime, member.uid, member.gid, member.uname, member.gname = epoch, 0, 0, "", ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.pax_headers = {}
            new.addfile(member, old.extractfile(member) if member.isfile() else None)
    return gzip.compress(written.getvalue(), mtime=0)


def last_commit() -> int:
    """Return the time of the last commit, in seconds since 1970."""
    shown = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, check=True, capture_output=True, text=True)
    return int(shown.stdout)


if __name__ == "__main__":
    given = os.environ.get("SOURCE_DATE_EPOCH")
    for file in build(Path(sys.argv[1] if len(sys.argv) > 1 else "dist"), int(given) if given else last_commit()):
        print(file)
