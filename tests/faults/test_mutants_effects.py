"""The judge catches the mutants of the app's side of the outbox, and the unchanged app passes."""

import asyncio

import pytest

from tests.faults.conftest import all_but_the_first_long
from tests.faults.directed import broken, noted, rules_broken, start_worker
from tests.faults.effect_faults import store
from tests.faults.effect_mutants import MUTANT, MUTANTS
from tests.faults.stage import CHILDREN, Stage
from tests.faults.stages import Stages

RULES = {
    "marks of once forgotten": "an effect in the app's database happened twice",
    "marks of once committed before the effects": "a committed event had no effect in the app's database",
    "events of a session in their own transaction": "an event ran whose transaction was not committed",
}
"""By mutant: the promise that it breaks."""

REQUESTS = 120
"""So many that a transaction is rolled back by the app."""


async def kill_around_commits(stage: Stage, mutant: str | None) -> None:
    """Let children kill themselves before and after the commit of an effect, and let a transaction be rolled back."""
    if mutant is not None:
        stage.site.environment[MUTANT] = mutant
    await start_worker(stage)
    await stage.start_relay()
    stage.hurt("SIGKILL of children before and after a commit", repeats=CHILDREN)
    await store(stage, "before-0", "kill", "ok")
    await store(stage, "after-0", "kill later", "ok")
    stage.start_publisher()
    await noted(stage, "invoke", REQUESTS)
    await noted(stage, "effect", 20)


@pytest.mark.parametrize("mutant", all_but_the_first_long([None, *MUTANTS]))
def test_a_mutant_is_caught(stages: Stages, mutant: str | None) -> None:
    """The judge names the promise that the mutant breaks, and none of the unchanged app."""
    with stages.stage("mariadb") as stage:
        if mutant is None:
            assert asyncio.run(broken(stage, kill_around_commits, None)) == []
        else:
            assert RULES[mutant] in asyncio.run(rules_broken(stage, kill_around_commits, mutant))
