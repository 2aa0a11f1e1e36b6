"""`bridge-ingress`: makes tokens for those who send events over HTTP."""

import json
import secrets

import click

from app_adapter.ingress.access import hash_of
from bridge.config.ingress_settings import Right
from bridge.config.notation import plain_name
from bridge.console import options
from bridge.console.exit_codes import ExitCode
from bridge.console.option_values import read_by
from bridge.console.printable import json_text
from bridge.console.program import HELP, Failure, ProgramGroup, version_option
from bridge.console.site_options import Site, site_options
from bridge.topics import check_pattern

TOKEN_PREFIX = "bridge_"
"""The beginning of every token, by which programs that search for secrets know one."""

TOKEN_BYTES = 32
"""Random bytes of a token: so many cannot be guessed, so a plain hash keeps them secret."""


@click.group(cls=ProgramGroup, context_settings=HELP)
@version_option
@site_options
def main() -> None:
    """Make tokens for those who send events over HTTP.

    \b
    Examples:
      bridge-ingress token shop --events 'order.#'
      bridge-ingress token monitor --events '#' --right read --json

    \b
    Exit codes: 0 done; 2 wrong usage or settings.
    """


def _patterns(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(read_by(check_pattern)(ctx, param, text) for text in texts)


@main.command()
@click.argument("name", callback=read_by(plain_name))
@click.option(
    "--events", "patterns", multiple=True, callback=_patterns, default=["#"], help="A pattern of its events. [#]"
)
@click.option(
    "--right",
    "rights",
    multiple=True,
    type=click.Choice([str(right) for right in Right]),
    default=[str(Right.DEFER)],
    help="What it may do with them. [defer]",
)
@options.as_json("Print the token, its hash, patterns and rights as one JSON object.")
@site_options
@click.pass_obj
def token(site: Site | None, name: str, patterns: tuple[str, ...], rights: tuple[str, ...], as_json: bool) -> None:
    """Make a token, and print it with the table of bridge.toml that lets it in. The token itself is stored nowhere.

    Two tables may stand for one client while it changes its token.

    \b
    Examples:
      bridge-ingress token shop --events 'order.#' --events 'mail.*'
      bridge-ingress token shop-2027 --events 'order.#' --right defer --right call
    """
    ingress = (site or Site()).settings().values.ingress
    if ingress is not None and name in ingress.tokens:
        raise Failure(f"ingress.tokens.{name} exists: expected another name", ExitCode.USAGE)
    made = TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    entry = {"hash": hash_of(made), "events": list(patterns), "rights": list(rights)}
    if as_json:
        click.echo(json_text({"name": name, "token": made, **entry}))
        return
    click.echo(f"The token, which is shown only now: {made}\n\nIn bridge.toml:\n\n[ingress.tokens.{name}]")
    for key, value in entry.items():
        click.echo(f"{key} = {json.dumps(value)}")
