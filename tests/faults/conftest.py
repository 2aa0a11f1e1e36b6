"""Fixtures of the short ordeals: the stages, shared by all of them, and the check that no promise was broken."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.faults.limits import ORDEAL, TEST
from tests.faults.ordeal import Fault, Load, in_turn, undergo
from tests.faults.stages import Stages

SHORT = Load(events=60, rate=60, seconds=5.0)
HOLD = 3.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of this directory more time than others have."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(TEST))


@pytest.fixture(scope="session")
def stages() -> Iterator[Stages]:
    """The stages, shared by all ordeals of this process, since every ordeal repairs what it breaks."""
    with Stages(HOLD, seed=1) as stages:
        yield stages


Undergo = Callable[..., None]


@pytest.fixture
def holds(stages: Stages) -> Undergo:
    """Run one ordeal with these faults on a stage, and fail with a list of the broken promises."""

    def holds(on: str, *faults: Fault) -> None:
        with stages.stage(on) as stage:
            verdict = asyncio.run(asyncio.wait_for(undergo(stage, SHORT, *faults), ORDEAL))
            assert not verdict.breaches, "\n".join(map(str, verdict.breaches))

    return holds


def on_each_stage(groups: Sequence[Sequence[Fault]]) -> pytest.MarkDecorator:
    """Parametrize a test with each group of faults, done one after the other, on each stage that the group names.
    The very first fault is a case of its own; all other cases are marked `long`."""
    (first, *others), *later_groups = groups
    cases_of_faults = [(first,), *([others] if others else []), *later_groups]
    cases = [(on, fault) for fault in map(in_turn, cases_of_faults) for on in fault.on]
    return pytest.mark.parametrize(
        ("on", "fault"),
        [
            pytest.param(on, fault, id=f"{fault.name}, {on}", marks=marks(on, long=number > 0))
            for number, (on, fault) in enumerate(cases)
        ],
    )


def all_but_the_first_long(values: Iterable[Any]) -> list[Any]:
    """Return the values of a test parameter, and mark all except the first as `long`."""
    first, *others = values
    return [first, *(pytest.param(value, marks=pytest.mark.long) for value in others)]


def marks(on: str, *, long: bool) -> list[pytest.MarkDecorator]:
    """Return the marks of a case on a stage."""
    return [*([] if on == "sqlite" else [pytest.mark.rabbitmq]), *([pytest.mark.long] if long else [])]
