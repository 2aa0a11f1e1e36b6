"""Whether our own packages are the ones that are imported: their names are generic, and others may have them too."""

import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import PathFinder
from importlib.metadata import packages_distributions, version
from pathlib import Path

import bridge
from bridge.findings import Finding, ok, wrong

DISTRIBUTION = "deferred-event-bridge"
OURS = ("app_adapter", "bridge", "dead_letter", "worker")
OF_THE_APP = ("app_adapter", "bridge")
"""What an app imports, in whose process its own directory comes first."""


def examine() -> Sequence[Finding]:
    """Look at what Python's path and the working directory have of our names, and who else installed one of them."""
    root = Path(bridge.__file__).resolve().parent.parent
    in_path = [_found(name, sys.path) for name in OURS]
    in_app = [_found(name, [str(Path.cwd())]) for name in OF_THE_APP]
    others = {owner: name for name in OURS for owner in packages_distributions().get(name, []) if owner != DISTRIBUTION}
    return judge(root, [place for place in (*in_path, *in_app) if place is not None], others)


def judge(root: Path, found: Sequence[Path], others: Mapping[str, str]) -> Sequence[Finding]:
    """Judge where packages of our names were found, by the directory that ours are in, and which other distributions
    brought one, and of what name."""
    shadows = dict.fromkeys(place for place in found if place.parent != root)
    findings = [
        wrong(
            "installation",
            f"{place} shadows our package {place.stem}, which is in {root}",
            "rename it, take it out of PYTHONPATH, or run the programs in another directory",
        )
        for place in shadows
    ]
    findings += [
        wrong(
            "installation",
            f"{owner} has installed a package named {name} as well: one overwrites the other",
            f"an environment of its own for each of them; here: {sys.executable} -m pip uninstall {owner}",
        )
        for owner, name in others.items()
    ]
    return findings or [ok("installation", f"{DISTRIBUTION} {version(DISTRIBUTION)} in {root}")]


def _found(name: str, path: Sequence[str]) -> Path | None:
    """Return the package's directory, or the module's file; None where the path has none."""
    spec = PathFinder.find_spec(name, path)
    if spec is None or spec.origin is None:
        return None
    origin = Path(spec.origin).resolve()
    return origin.parent if spec.submodule_search_locations is not None else origin
