"""The declared dependencies: pyproject.toml names every library that the packages import directly."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PACKAGES = ("bridge", "app_adapter", "worker", "dead_letter", "deferred_event_bridge")

MADE_BY_ITS_SERVER = {"uwsgi", "pytest"}
"""Modules that are imported only inside a process of a certain program: uWSGI, and pytest, which loads our plugin."""


def declared() -> dict[str, Requirement]:
    """Return the requirements of the distribution, including its extras for users."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [line for name, lines in project["optional-dependencies"].items() if name != "dev" for line in lines]
    requirements = map(Requirement, [*project["dependencies"], *extras])
    return {canonicalize_name(requirement.name): requirement for requirement in requirements}


def imported() -> dict[str, str]:
    """Return each imported top-level module of other distributions, with one file that imports it."""
    found: dict[str, str] = {}
    for path in sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            found.update({name.split(".")[0]: path.relative_to(ROOT).as_posix() for name in names})
    known = {*sys.stdlib_module_names, *PACKAGES, *MADE_BY_ITS_SERVER}
    return {name: file for name, file in found.items() if name not in known}


def test_every_imported_library_is_declared() -> None:
    """An imported library is declared, because an indirect dependency may disappear in a later version."""
    distributions = packages_distributions()
    undeclared = {
        name: file
        for name, file in imported().items()
        if not {canonicalize_name(each) for each in distributions.get(name, [name])} & declared().keys()
    }

    assert undeclared == {}


def test_the_tested_versions_satisfy_the_declared_ones() -> None:
    """constraints.txt pins a version of each requirement within its bounds."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    versions = {str(canonicalize_name(name)): version for name, version in pinned.items()}

    outside = {
        name: (versions.get(name), str(requirement.specifier))
        for name, requirement in declared().items()
        if name not in versions or not requirement.specifier.contains(versions[name])
    }

    assert outside == {}


def pinned() -> dict[str, str]:
    """Return the versions in constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {str(canonicalize_name(name)): version for name, version in pairs}


def locked(extra: str) -> dict[str, str]:
    """Return the versions in a file of requirements/, each of which must have hashes."""
    found = {}
    for line in (ROOT / "requirements" / f"{extra}.txt").read_text().replace("\\\n", "").splitlines():
        if not line.startswith("#"):
            text, *hashes = line.split(" --hash=sha256:")
            requirement = Requirement(text)
            assert hashes
            found[str(canonicalize_name(requirement.name))] = str(requirement.specifier).removeprefix("==")
    return found


@pytest.mark.parametrize(("file", "extra"), [("runtime", "web"), ("dev", "dev"), ("bench", "bench")])
def test_what_is_installed_is_locked(file: str, extra: str) -> None:
    """Each file of requirements/ has every requirement of its extra, with hashes, in the version of constraints.txt. If
    not: scripts/lock.sh."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"][extra]]
    needed = {str(canonicalize_name(Requirement(line).name)) for line in lines}
    versions, found = pinned(), locked(file)

    assert needed - found.keys() == set()
    assert {name: version for name, version in found.items() if versions.get(name, version) != version} == {}


def test_what_builds_the_project_is_locked() -> None:
    """setuptools comes with hashes too: pip would else fetch it unchecked."""
    assert locked("build").keys() == {"setuptools"}


def test_everything_is_installed_with_its_hash() -> None:
    """Each installation by the project's own scripts checks hashes, or is of the project alone."""
    text = "\n".join((ROOT / name).read_text() for name in ("scripts/make-env.sh", "Dockerfile"))
    commands = [line for line in text.splitlines() if re.search(r"^install --|pip install --|pip wheel", line)]

    assert len(commands) == 6
    for command in commands:
        assert "--require-hashes" in command or "--no-deps" in command, command
