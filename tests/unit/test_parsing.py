"""Finalizers that parse do not disturb other parsing."""

import ast
import gc


class ParsesAtItsEnd:
    """Is garbage at once, and parses when it is collected."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        ast.parse("def f(a):\n    return [b for b in a if (b, (1, 2))]\n")


def test_parsing_goes_on_while_garbage_is_made() -> None:
    """CPython 3.11 alone raises SystemError here."""
    thresholds = gc.get_threshold()
    gc.set_threshold(3, 2, 2)
    try:
        for _ in range(1000):
            ParsesAtItsEnd()
            assert len(ast.parse("def _(): pass\n" * 20).body) == 20
    finally:
        gc.set_threshold(*thresholds)
