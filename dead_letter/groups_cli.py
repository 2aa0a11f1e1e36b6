"""`bridge-dlq groups`: what is dead and what is still retrying, by the cause of the failure, and decisions about it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from bridge.brokers.any_broker.failure_reading import Failures, read_failures, sample
from bridge.brokers.any_broker.group_log import decide_about_group
from bridge.console import options
from bridge.console.actor import actor
from bridge.console.encoding import argument_text
from bridge.console.event_loop import run
from bridge.console.exit_codes import ExitCode
from bridge.console.option_values import positive_time, read_by
from bridge.console.printable import printable
from bridge.console.program import HELP, CommandGroup, Failure
from bridge.console.site_options import Site, existing_broker, site_options
from bridge.console.terminal import print_json_lines, terminal
from bridge.failures.groups import FailureGroup
from bridge.failures.states import GroupDecision, fields_of
from dead_letter.group_pages import ShownGroup, group_document, print_group_rows, retrying_line
from dead_letter.ledger_access import PROGRAM
from dead_letter.options import group_id
from dead_letter.rendering import ID_END, next_commands, skipped_lines

ROWS = 20

_which = click.argument("group", callback=read_by(group_id), metavar="GROUP")
_as_json = options.as_json("Print the decision as one JSON object.")
_note = click.option("--why", "note", default="", callback=read_by(argument_text), metavar="TEXT", help="The reason.")


@click.group(cls=CommandGroup, without="list", context_settings=HELP)
@site_options
def groups() -> None:
    """List what is dead and what is still retrying, by cause: error, message without its values, and place in the app.

    Without a command: list, with its options.

    \b
    Examples:
      bridge-dlq groups
      bridge-dlq groups list --limit 5 --json | jq .title
      bridge-dlq groups note 1f3a9c0e 'the provider knows, ticket 4711'
      bridge-dlq groups quiet 1f3a9c0e --for 4h --rate 100
      bridge-dlq groups fixed 1f3a9c0e v43
    """


@groups.command("list")
@site_options
@click.option("--limit", type=click.IntRange(1), default=ROWS, show_default=True, metavar="N", help="Most groups.")
@options.as_json("Print a JSON object for each group.")
@click.pass_obj
def list_groups(site: Site, /, limit: int, as_json: bool) -> None:
    """List the groups of failures, those that are quiet or fixed last, the largest first, and what the members of each
    have in common.

    The source and the payload are those of its newest dead letters. Nothing is known of the payload of an event that is
    still retrying.

    \b
    Examples:
      bridge-dlq groups list
      bridge-dlq groups list --json | jq 'select(.retrying.count > 0)'
    """
    now = datetime.now(UTC)
    failures, shown = run(_read(site, limit, now))
    if as_json:
        print_json_lines(map(group_document, shown))
    elif not shown:
        click.echo("No open dead letters, and no event is retrying.")
    else:
        print_group_rows(terminal(), shown, now)
        if len(shown) < len(failures.groups):
            click.echo(f"\nThe first {len(shown):,} of {len(failures.groups):,} groups.")
        click.echo(f"\n{_next(site, [each.group for each in shown])}")
    if failures.since is not None:
        click.echo(printable(retrying_line(failures.since)), err=True)
    if failures.decisions.skipped:
        why = "damaged, or without a valid signature (ledger_key)"
        click.echo(f"Left out: {failures.decisions.skipped:,} records of decisions about groups: {why}.", err=True)
    for line in skipped_lines(failures.skipped):
        click.echo(line, err=True)


def _deciding(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (click.pass_obj, _as_json, _which, site_options):
        command = option(command)
    return command


@groups.command()
@_deciding
@click.argument("note", callback=read_by(argument_text), metavar="TEXT")
def note(site: Site, /, group: str, note: str, as_json: bool) -> None:
    """Mark a group as known, with a note.

    \b
    Examples:
      bridge-dlq groups note 1f3a9c0e 'the provider knows, ticket 4711'
    """
    run(_decide(site, _decision(group, "known", note=note), as_json))


@groups.command()
@_deciding
@click.option(
    "--for", "seconds", callback=read_by(positive_time), metavar="TIME", help="Until this time has passed: 4h."
)
@click.option("--count", type=click.IntRange(1), metavar="N", help="Until it has N failures.")
@click.option("--rate", type=click.IntRange(1), metavar="N", help="Until it has more than N failures within an hour.")
@_note
def quiet(site: Site, /, group: str, seconds: timedelta | None, as_json: bool, **limits: Any) -> None:
    """Mark a group as quiet, until the first of the given limits is reached. Then it is reopened.

    \b
    Examples:
      bridge-dlq groups quiet 1f3a9c0e --for 4h
      bridge-dlq groups quiet 1f3a9c0e --rate 100 --why 'a few each night are normal'
    """
    if seconds is None and limits["count"] is None and limits["rate"] is None:
        raise click.UsageError("quiet until when? Expected --for, --count or --rate")
    now = datetime.now(UTC)
    until = None if seconds is None else now + seconds
    run(_decide(site, _decision(group, "quiet", until=until, **limits), as_json))


@groups.command()
@_deciding
@click.argument("release", callback=read_by(argument_text))
@_note
def fixed(site: Site, /, group: str, release: str, note: str, as_json: bool) -> None:
    """Mark a group as fixed in a release of the app. A failure in this release or a later one reopens it.

    A release is later if it was first seen after this one, in a dead letter or in the history.

    \b
    Examples:
      bridge-dlq groups fixed 1f3a9c0e v43 --why 'checks the address first'
    """
    run(_decide(site, _decision(group, "fixed", release=release, note=note), as_json))


@groups.command()
@_deciding
@_note
def reopen(site: Site, /, group: str, note: str, as_json: bool) -> None:
    """Take back what was decided about a group: it is new again.

    \b
    Examples:
      bridge-dlq groups reopen 1f3a9c0e
    """
    run(_decide(site, _decision(group, "new", note=note), as_json))


def _decision(group: str, word: Any, **fields: Any) -> GroupDecision:
    return GroupDecision(group, word, actor(), datetime.now(UTC), **fields)


async def _decide(site: Site, decision: GroupDecision, as_json: bool) -> None:
    """Append the decision about the group that the beginning of an id names."""
    settings = site.settings()
    async with existing_broker(settings) as broker:
        failures = await read_failures(broker, settings)
        titles = {each: known.title for each, known in failures.decisions.groups().items()}
        titles |= {each.id: each.fingerprint.title for each in failures.groups}
        found = [each for each in titles if each.startswith(decision.group)]
        if len(found) != 1:
            count = f"{len(found)} groups have" if found else "no group has"
            raise Failure(f"{count} an id that begins with {decision.group}: see {PROGRAM} groups", ExitCode.USAGE)
        decision = replace(decision, group=found[0], title=titles[found[0]])
        await decide_about_group(broker, decision, settings.values.namespace, settings.ledger_keys())
    if as_json:
        print_json_lines([fields_of(decision)])
    else:
        click.echo(printable(f"{decision.group} is {decision.word}: {decision.title}"))


async def _read(site: Site, limit: int, now: datetime) -> tuple[Failures, list[ShownGroup]]:
    settings = site.settings()
    async with existing_broker(settings) as broker:
        failures = await read_failures(broker, settings)
        states = [(group, failures.state_of(group, now)) for group in failures.groups]
        states.sort(key=lambda each: not each[1].is_loud)
        ledger = broker.ledger()
        return failures, [ShownGroup(group, state, await sample(ledger, group)) for group, state in states[:limit]]


def _next(site: Site, shown: Sequence[FailureGroup]) -> str:
    """Return the commands that a user may type next: about the first group with a dead letter, or about the newest
    event that is retrying if there is none."""
    group = next((each for each in shown if each.dead), None)
    if group is None:
        newest = shown[0].retrying[-1].id[-ID_END:]
        return printable(next_commands(site.command("bridge-events", "show", newest)))
    return next_commands(
        site.command(PROGRAM, "list", "--ids", "--group", group.id),
        site.command(PROGRAM, "redrive", "--group", group.id, "--dry-run"),
    )
