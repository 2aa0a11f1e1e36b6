"""`bridge-dlq groups`: what is dead and what is still retrying, by the cause of the failure."""

from collections.abc import Sequence
from datetime import UTC, datetime

import click

from bridge.brokers.any_broker.failure_reading import Failures, read_failures, sample
from bridge.console import options
from bridge.console.event_loop import run
from bridge.console.printable import printable
from bridge.console.program import HELP, CommandGroup
from bridge.console.site_options import Site, existing_broker, site_options
from bridge.console.terminal import print_json_lines, terminal
from bridge.failures.groups import FailureGroup
from bridge.failures.in_common import Sample
from dead_letter.group_pages import group_document, print_group_rows, retrying_line
from dead_letter.ledger_access import PROGRAM
from dead_letter.rendering import next_commands, skipped_lines

ROWS = 20


@click.group(cls=CommandGroup, without="list", context_settings=HELP)
@site_options
def groups() -> None:
    """List what is dead and what is still retrying, by cause: error, message without its values, and place in the app.

    Without a command: list, with its options.

    \b
    Examples:
      bridge-dlq groups
      bridge-dlq groups list --limit 5 --json | jq .title
    """


@groups.command("list")
@site_options
@click.option("--limit", type=click.IntRange(1), default=ROWS, show_default=True, metavar="N", help="Most groups.")
@options.as_json("Print a JSON object for each group.")
@click.pass_obj
def list_groups(site: Site, /, limit: int, as_json: bool) -> None:
    """List the groups of failures, the largest first, and what the members of each have in common.

    The source and the payload are those of its newest dead letters. Nothing is known of the payload of an event that is
    still retrying.

    \b
    Examples:
      bridge-dlq groups list
      bridge-dlq groups list --json | jq 'select(.retrying.count > 0)'
    """
    now = datetime.now(UTC)
    failures, samples = run(_read(site, limit))
    shown = failures.groups[:limit]
    if as_json:
        print_json_lines(group_document(group, each) for group, each in zip(shown, samples, strict=True))
    elif not shown:
        click.echo("No open dead letters, and no event is retrying.")
    else:
        print_group_rows(terminal(), list(zip(shown, samples, strict=True)), now)
        if len(shown) < len(failures.groups):
            click.echo(f"\nThe largest {len(shown):,} of {len(failures.groups):,} groups.")
        click.echo(f"\n{_next(site, shown)}")
    if failures.since is not None:
        click.echo(printable(retrying_line(failures.since)), err=True)
    for line in skipped_lines(failures.skipped):
        click.echo(line, err=True)


async def _read(site: Site, limit: int) -> tuple[Failures, list[Sample]]:
    settings = site.settings()
    async with existing_broker(settings) as broker:
        failures = await read_failures(broker, settings)
        ledger = broker.ledger()
        return failures, [await sample(ledger, group) for group in failures.groups[:limit]]


def _next(site: Site, shown: Sequence[FailureGroup]) -> str:
    group = next((each for each in shown if each.dead), shown[0])
    return next_commands(
        site.command(PROGRAM, "list", "--ids", "--group", group.id),
        site.command(PROGRAM, "redrive", "--group", group.id, "--dry-run"),
    )
