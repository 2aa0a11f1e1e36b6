"""What the short ordeals share: stages, kept for all of them, and the assertion that no promise was broken."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence

import pytest

from tests.faults.ordeal import Fault, Load, in_turn, undergo
from tests.faults.stages import Stages

SHORT = Load(events=60, rate=60, seconds=5.0)
HOLD = 3.0
PATIENCE = 240.0
"""Seconds that an ordeal may take on a machine that is busy with others; alone, the longest takes a fifth."""


@pytest.fixture(scope="session")
def stages() -> Iterator[Stages]:
    """The stages, for all ordeals of this process: every ordeal heals what it hurts."""
    with Stages(HOLD, seed=1) as stages:
        yield stages


Undergo = Callable[..., None]


@pytest.fixture
def holds(stages: Stages) -> Undergo:
    """Put a stage through faults, and fail with every promise that was broken."""

    def holds(on: str, *faults: Fault) -> None:
        with stages.stage(on) as stage:
            try:
                verdict = asyncio.run(asyncio.wait_for(undergo(stage, SHORT, *faults), PATIENCE))
            except TimeoutError:
                pytest.fail(f"it was not over after {PATIENCE:g} s\n{stage.report()}")
            assert not verdict.breaches, "\n".join((*map(str, verdict.breaches), stage.report()))

    return holds


def on_each_stage(groups: Iterable[Sequence[Fault]]) -> pytest.MarkDecorator:
    """Run a test with each group of faults, one after the other, on each stage that they are for."""
    cases = [
        pytest.param(on, fault, id=f"{fault.name}, {on}", marks=() if on == "sqlite" else pytest.mark.rabbitmq)
        for fault in map(in_turn, groups)
        for on in fault.on
    ]
    return pytest.mark.parametrize(("on", "fault"), cases)
