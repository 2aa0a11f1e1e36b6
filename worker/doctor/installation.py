"""The doctor's check of the installation: are our own packages imported, or others of the same, generic names?"""

import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import packages_distributions, version
from pathlib import Path

from bridge.brokers.contract.findings import Finding, ok, wrong
from deferred_event_bridge.hidden_packages import IN_APP, PACKAGES, ROOT, HiddenPackage, hidden_packages

DISTRIBUTION = "deferred-event-bridge"


def examine() -> Sequence[Finding]:
    """Look for packages of our names in Python's path, in the working directory (which comes first in the app's
    processes), and in other distributions."""
    hidden = [*hidden_packages(PACKAGES, sys.path), *hidden_packages(IN_APP, [str(Path.cwd())])]
    owners = packages_distributions()
    return judge(hidden, {owner: name for name in PACKAGES for owner in owners.get(name, []) if owner != DISTRIBUTION})


def judge(hidden: Sequence[HiddenPackage], others: Mapping[str, str]) -> Sequence[Finding]:
    """Return the findings. `hidden` are our packages that others hide; `others` has the distributions that installed a
    package of one of our names, with that name."""
    findings = [wrong("installation", str(each), each.remedy) for each in dict.fromkeys(hidden)]
    findings += [
        wrong(
            "installation",
            f"{owner} has installed a package named {name} as well: one overwrites the other",
            f"an environment of its own for each of them; here: {sys.executable} -m pip uninstall {owner}",
        )
        for owner, name in others.items()
    ]
    return findings or [ok("installation", f"{DISTRIBUTION} {version(DISTRIBUTION)} in {ROOT}")]
