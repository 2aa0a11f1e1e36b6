"""The wheel and the source distribution: the same bytes each time, with all that belongs in, and nothing else."""

import importlib.util
import os
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
EPOCH = 1_700_000_000
PACKAGES = {"bridge", "app_adapter", "worker", "dead_letter", "deferred_event_bridge"}


def build_package() -> ModuleType:
    """The module of scripts/, which is no package."""
    spec = importlib.util.spec_from_file_location("build_package", ROOT / "scripts" / "build_package.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The wheel and the source distribution."""
    files: list[Path] = build_package().build(tmp_path_factory.mktemp("first"), EPOCH)
    return files


@pytest.fixture
def other_mask() -> Iterator[None]:
    """Another umask than usual."""
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.usefixtures("other_mask")
def test_a_second_build_makes_the_same_bytes(built: list[Path], tmp_path: Path) -> None:
    """In another directory, with another umask, at another time."""
    again = build_package().build(tmp_path, EPOCH)
    assert [file.name for file in again] == [file.name for file in built]
    assert [file.read_bytes() for file in again] == [file.read_bytes() for file in built]


def test_the_wheel_has_all_modules_and_nothing_else(built: list[Path]) -> None:
    """Each module that git knows, and the marks for type checkers."""
    with zipfile.ZipFile(built[0]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    expected = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.suffix == ".py" or path.name == "py.typed"
    }
    assert {name for name in names if name.endswith((".py", "py.typed"))} == expected
    assert {name.partition("/")[0] for name in names} == PACKAGES
    assert {f"{package}/py.typed" for package in PACKAGES} <= names


def test_the_source_distribution_has_no_owner_and_one_time(built: list[Path]) -> None:
    """Nobody learns who built it, or when."""
    with tarfile.open(built[1]) as archive:
        members = archive.getmembers()
    assert {(each.uid, each.gid, each.uname, each.gname, each.mtime) for each in members} == {(0, 0, "", "", EPOCH)}
    assert {each.mode for each in members} <= {0o644, 0o755}
