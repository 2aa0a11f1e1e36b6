"""A coroutine of a program is run to its end."""

import pytest

from bridge.console.event_loop import run


class _Large:
    def __repr__(self) -> str:
        raise AssertionError("the representation of a large result takes long")


def test_a_large_result_is_not_represented() -> None:
    """`asyncio.run` would make the representation of the result, and throw it away."""

    async def work() -> _Large:
        return _Large()

    assert isinstance(run(work()), _Large)


def test_an_error_is_raised() -> None:
    """As with `asyncio.run`."""

    async def work() -> None:
        raise LookupError("no")

    with pytest.raises(LookupError, match="no"):
        run(work())
