"""Runs a coroutine of a program to its end."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run the coroutine in an event loop of its own, and return its result, which may be large.

    `asyncio.run` calls `repr` on the result twice when it resets the handler of SIGINT (`signal.getsignal` in CPython
    3.11 and later), which takes a second for 100,000 dead letters. Here the result is not the task's.
    """
    results: list[T] = []

    async def keep() -> None:
        results.append(await work)

    asyncio.run(keep())
    return results[0]
