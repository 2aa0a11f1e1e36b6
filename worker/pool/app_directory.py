"""The directory of the app, by the name that its users know: a symbolic link that a deploy points elsewhere.

A process knows its working directory only as the directory that the link led to when the process entered it. So the
name is kept from the start, and looked up again for each version of the app, as gunicorn does.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from bridge.errors import SettingsError
from bridge.looking import working_directory


def enter_app_directory(given: str | None, environ: Mapping[str, str] = os.environ) -> Path:
    """Change to the directory `given`, if any, and return the name of the working directory, links in it unresolved.

    A shell has the name in PWD. A service manager may have no PWD, so that only `given` names a link. Raise
    `SettingsError` if the directory cannot be entered, or the working directory was deleted.
    """
    name = _name(environ.get("PWD", ""))
    if given is None:
        return name
    try:
        os.chdir(given)
    except OSError as error:
        raise SettingsError(f"--chdir {given!r}: expected a directory: {error.strerror}") from error
    return name / given


def _name(pwd: str) -> Path:
    """Return PWD if it is a name of the working directory; a process may have changed to another after its shell."""
    try:
        if Path(pwd).is_absolute() and Path(pwd).samefile(Path.cwd()):
            return Path(pwd)
    except OSError:  # PWD names a directory that is gone, or that this user may not see
        pass
    return working_directory()
