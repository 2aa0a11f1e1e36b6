"""`bridge-mailbox`: puts messages into mailboxes and fetches them, from the shell and without the app."""

import subprocess
import sys
from base64 import b64encode
from datetime import timedelta
from typing import Any, BinaryIO

import click

from app_adapter.mailbox import Mailbox, Message
from bridge.console import options
from bridge.console.encoding import argument_text
from bridge.console.exit_codes import ExitCode
from bridge.console.option_values import limited_time, read_by
from bridge.console.printable import json_text
from bridge.console.program import HELP, Failure, ProgramGroup, version_option
from bridge.console.site_options import Site, site_options
from bridge.mailbox import MOST_URGENT_FIRST, checked_name

PRIORITIES = [each.value for each in MOST_URGENT_FIRST]


@click.group(cls=ProgramGroup, context_settings=HELP)
@version_option
@site_options
def main() -> None:
    """Put messages into mailboxes, and fetch them.

    \b
    Examples:
      bridge-mailbox put q1 'hello'
      bridge-mailbox put q1 --data-file report.pdf --priority high
      bridge-mailbox get q1 --timeout 10s > report.pdf
      bridge-mailbox get q1 --timeout 1m -- ./print.sh

    \b
    Exit codes: 0 done; 1 no message came, or the command failed; 2 wrong usage or settings;
    3 the broker cannot be reached or refuses, or the message is not known to be acknowledged;
    130 ended by Ctrl-C, 143 by SIGTERM.
    """


@main.command()
@click.argument("name")
@click.argument("text", required=False)
@click.option(
    "--data-file", type=click.File("rb"), metavar="FILE", help="Put these bytes instead of TEXT; - is standard input."
)
@click.option("--priority", type=click.Choice(PRIORITIES), default="normal", show_default=True, help="How urgent.")
@site_options
@click.pass_obj
def put(site: Site | None, name: str, text: str | None, data_file: BinaryIO | None, priority: Any) -> None:
    """Put TEXT, or the bytes of a file, into the mailbox NAME.

    When the program exits with 0, the message is durable.

    \b
    Examples:
      bridge-mailbox put q1 'hello'
      curl -s https://example.org/feed | bridge-mailbox put feeds --data-file -
    """
    if (text is None) == (data_file is None):
        raise click.UsageError("TEXT and --data-file: expected one of them")
    # One of both is given.
    body = argument_text(text).encode() if text is not None else data_file.read()  # type: ignore[union-attr]
    _mailbox(site, name).put(body, priority=priority)


@main.command()
@click.argument("name")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND…]")
@click.option(
    "--timeout",
    callback=read_by(limited_time),
    metavar="TIME",
    default="0",
    show_default=True,
    help="Wait this long for a message: 500ms, 10, 1m.",
)
@options.as_json("Print the message in base64, and its priority, as one JSON object.")
@site_options
@click.pass_obj
def get(site: Site | None, name: str, command: tuple[str, ...], timeout: timedelta, as_json: bool) -> None:
    """Fetch a message from the mailbox NAME, and write it to standard output as it is.

    The message is acknowledged when it is written. With COMMAND, it is the command's standard input, and it is
    acknowledged if the command exits with 0; otherwise it returns to the mailbox.

    \b
    Examples:
      bridge-mailbox get q1 --timeout 10s > report.pdf
      while bridge-mailbox get q1 --timeout 1h -- ./print.sh; do :; done
    """
    if command and as_json:
        raise click.UsageError("--json and COMMAND: expected one of them")
    with _mailbox(site, name).get(timeout=timeout) as message:
        if command:
            _run(command, message.body)
        else:
            _write(message, as_json)


def _mailbox(site: Site | None, name: str) -> Mailbox:
    return Mailbox(checked_name(name), (site or Site()).settings(), creates=False)


def _write(message: Message, as_json: bool) -> None:
    if as_json:
        fields = {"base64": b64encode(message.body).decode(), "priority": message.priority.value}
        click.echo(json_text({**fields, "redelivered": message.redelivered}))
    else:
        sys.stdout.buffer.write(message.body)
    sys.stdout.flush()  # an error of writing comes before the message is acknowledged


def _run(command: tuple[str, ...], body: bytes) -> None:
    """Run the command with the message as its input. Raise `Failure` unless it exits with 0."""
    try:
        code = subprocess.run(command, input=body, check=False).returncode
    except OSError as error:
        raise Failure(f"{command[0]}: {error.strerror}; the message returns", ExitCode.INCOMPLETE) from error
    if code != 0:
        how = f"signal {-code}" if code < 0 else f"code {code}"
        raise Failure(f"{command[0]} ended with {how}; the message returns", ExitCode.INCOMPLETE)
