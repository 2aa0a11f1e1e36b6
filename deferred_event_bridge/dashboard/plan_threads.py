"""Plans of redrives that this process carries out, each in a thread of its own. The log of plans has their progress.
Anybody can stop them from anywhere, and resume a plan whose process died."""

import asyncio
import logging
import os
import socket
import threading

from bridge.brokers.any_broker.plan_log import PlanLog
from bridge.brokers.contract.broker import Broker
from bridge.config.settings import Settings
from bridge.console.site_options import existing_broker
from bridge.errors import BridgeError
from bridge.ledger import Dead
from bridge.plans import Plan
from dead_letter.plan_runner import PlanRun, carry_out_plan

log = logging.getLogger(__name__)


class PlanThreads:
    """The threads. `errors` has the reason why a plan ended early in this process, by its id."""

    def __init__(self) -> None:
        self.errors: dict[str, str] = {}

    def carry_out(self, settings: Settings, plan: Plan, who: str) -> None:
        """Carry out a plan whose records are in the log; return at once."""
        self.errors.pop(plan.id, None)
        run = threading.Thread(
            target=self._run, args=(settings, plan, who), name=f"bridge-dashboard-plan-{plan.id}", daemon=True
        )
        run.start()

    def _run(self, settings: Settings, plan: Plan, who: str) -> None:
        try:
            asyncio.run(_carry_out(settings, plan, who))
        except BridgeError as error:
            self.errors[plan.id] = str(error)
        except Exception as error:
            log.exception("internal error in the plan %s; it is interrupted", plan.id)
            self.errors[plan.id] = f"internal error: {type(error).__name__}: {error}"


async def record_plan(broker: Broker, settings: Settings, plan: Plan) -> bool:
    """Record a new plan. Return False if a plan with this id is recorded already."""
    plans = PlanLog(broker, settings.values.namespace, settings.ledger_keys())
    if plan.id in (await plans.read()).stories:
        return False
    await plans.append(*plans.records.of_plan(plan))
    return True


async def _carry_out(settings: Settings, plan: Plan, who: str) -> None:
    where = f"the page on {socket.gethostname()}, pid {os.getpid()}"

    def tell(letter: Dead, why: str | None) -> None:
        """Leave it to the log of plans to tell."""

    async with existing_broker(settings) as broker:
        await carry_out_plan(broker, settings, PlanRun(plan, who), where, tell)
