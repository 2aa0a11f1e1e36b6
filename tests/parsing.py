"""Parsing of Python while no garbage is collected.

On CPython before 3.12 `ast.parse` raises `SystemError` if the collector runs a finalizer that parses too
(python/cpython#106905). Werkzeug parses when a rule is added, Hypothesis when it shows a lambda, and the traceback of
a warning about a file that was not closed when it is printed.
"""

import ast
import gc
import sys
from functools import wraps
from typing import Any


def parse_undisturbed() -> None:
    """Collect no garbage during any `ast.parse` of this process, on a Python that needs that."""
    if sys.version_info >= (3, 12):
        return
    parse = ast.parse

    @wraps(parse)
    def undisturbed(*arguments: Any, **options: Any) -> Any:
        collects = gc.isenabled()
        gc.disable()
        try:
            return parse(*arguments, **options)
        finally:
            if collects:
                gc.enable()

    ast.parse = undisturbed
