"""The import of an object that a setting names as `"module:object"`."""

import importlib
import sys
from pathlib import Path


def named_object(name: str) -> object:
    """Import the module and return its object, which may be nested (`module:holder.object`).

    The working directory is searched last, so that a `worker.py` of the site hides no package of the bridge. Every
    exception of the import is raised to the caller.
    """
    module_name, _, path = name.partition(":")
    working_directory = str(Path.cwd())
    if working_directory not in sys.path:
        sys.path.append(working_directory)
    found: object = importlib.import_module(module_name)
    for part in path.split("."):
        found = getattr(found, part)
    return found
