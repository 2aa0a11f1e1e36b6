"""`bridge-dlq plans`: the plans of redrives, their progress, and their stop."""

from datetime import UTC, datetime

import click

from bridge.brokers.any_broker.plan_log import PlanLog
from bridge.console import options
from bridge.console.actor import actor
from bridge.console.event_loop import run
from bridge.console.exit_codes import ExitCode
from bridge.console.printable import printable
from bridge.console.program import HELP, CommandGroup
from bridge.console.site_options import Site, existing_broker, site_options
from bridge.console.terminal import Column, print_json_lines, print_table, terminal
from bridge.plans import Plans, PlanStory, story_to_json
from dead_letter.plan_command import named, resume_plan
from dead_letter.rendering import ago

ROWS = 20

_COLUMNS = (
    Column("plan", narrow=True),
    Column("state", narrow=True),
    Column("letters", right=True, narrow=True),
    Column("redriven", right=True, narrow=True),
    Column("delivered", right=True, narrow=True),
    Column("failed", right=True, narrow=True),
    Column("begun", right=True, narrow=True),
    Column("by"),
    Column("why"),
)
_which = click.argument("plan", metavar="PLAN")


@click.group(cls=CommandGroup, without="list", context_settings=HELP)
@site_options
def plans() -> None:
    """List the plans of redrives with their progress; stop or resume one, from any machine of the site.

    Without a command: list, with its options.

    \b
    Examples:
      bridge-dlq redrive --group 1f3a9c0e --plan --rate 50/s
      bridge-dlq plans
      bridge-dlq plans stop 4b7d2a10
      bridge-dlq plans resume 4b7d2a10
    """


@plans.command("list")
@site_options
@click.option(
    "--limit", type=click.IntRange(1), default=ROWS, show_default=True, metavar="N", help="The newest N plans."
)
@options.as_json("Print a JSON object for each plan.")
@click.pass_obj
def list_plans(site: Site, /, limit: int, as_json: bool) -> None:
    """List the plans of the last 90 days, the newest first.

    A plan is interrupted if its process recorded nothing for 15 seconds: its terminal or machine died. Resume it.

    \b
    Examples:
      bridge-dlq plans list
      bridge-dlq plans list --json | jq 'select(.state == "interrupted")'
    """
    found, now = run(_read(site)), datetime.now(UTC)
    stories = list(found.stories.values())[::-1][:limit]
    if as_json:
        print_json_lines(story_to_json(story, now) for story in stories)
    elif not stories:
        click.echo("No plan of a redrive is recorded.")
    else:
        print_table(terminal(), _COLUMNS, (_row(story, now) for story in stories))
    if found.skipped:
        click.echo(
            f"Left out: {found.skipped:,} records: damaged, or without a valid signature (ledger_key).", err=True
        )


@plans.command()
@site_options
@_which
@click.pass_obj
def stop(site: Site, /, plan: str) -> None:
    """Stop a plan after the letters in hand, wherever it runs. It can be resumed.

    \b
    Examples:
      bridge-dlq plans stop 4b7d2a10
    """
    if not run(_stop(site, plan)):
        click.echo(printable(f"Plan {plan} has ended already."), err=True)
        click.get_current_context().exit(ExitCode.INCOMPLETE)
    click.echo(printable(f"Plan {plan} stops within some seconds, after the letters in hand."))


@plans.command()
@site_options
@_which
@click.pass_obj
def resume(site: Site, /, plan: str) -> None:
    """Carry out the rest of a plan that was interrupted, stopped or aborted, from its canary on.

    Only letters of the plan that are still open are put back.

    \b
    Examples:
      bridge-dlq plans resume 4b7d2a10
    """
    click.get_current_context().exit(resume_plan(site, plan))


async def _read(site: Site) -> Plans:
    settings = site.settings()
    async with existing_broker(settings) as broker:
        return await PlanLog(broker, settings.values.namespace, settings.ledger_keys()).read()


async def _stop(site: Site, beginning: str) -> bool:
    """Record the stop. Return False if the plan has ended."""
    settings = site.settings()
    async with existing_broker(settings) as broker:
        log = PlanLog(broker, settings.values.namespace, settings.ledger_keys())
        story = named(await log.read(), beginning)
        if story.ended is None:
            await log.append(log.records.stop(story.plan.id, actor(), datetime.now(UTC)))
        return story.ended is None


def _row(story: PlanStory, now: datetime) -> tuple[str, ...]:
    plan, progress = story.plan, story.progress
    counts = (len(plan.letters), progress.redriven, progress.delivered, progress.failed)
    why = " · ".join(filter(None, (plan.why, story.why)))
    return (plan.id, story.state(now), *(f"{count:,}" for count in counts), ago(plan.time, now), plan.who, why)
