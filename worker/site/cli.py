"""`bridge-site`: the commands and their options. The other modules of this package do the work."""

import asyncio
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO, cast

import click

from bridge.config.dot_env import environment
from bridge.config.settings import Settings, load_settings
from bridge.console import options
from bridge.console.exit_codes import ExitCode
from bridge.console.log_setup import configure_logging
from bridge.console.printable import json_text, printable
from bridge.console.program import HELP, Failure, ProgramGroup, version_option
from bridge.console.quantities import duration_text
from bridge.console.service_manager import ServiceManager
from bridge.console.terminal import Column, print_table, print_text, terminal
from worker.site.members import members_of
from worker.site.output import OneLog, OwnLines
from worker.site.presence import AlreadyUp, SiteProcess
from worker.site.running import RESTART, SiteOptions, changes, programs, run_site
from worker.site.units import Host, units_of

OWN_NAME = "site"
"""The name of `bridge-site` itself in the log."""

NOT_UP = "bridge-site is not up for these settings"
_POLL_SECONDS = 0.1


def config_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--config`, which may be given before or after the command's name. The context's object is its value."""

    def note(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
        ctx.obj = ctx.find_object(str) if value is None else value

    added: Callable[..., Any] = options.config(callback=note, expose_value=False)(command)
    return added


@click.group(cls=ProgramGroup, context_settings=HELP)
@version_option
@config_option
def main() -> None:
    """Run all processes of a site as one: the workers, the pool, the relay.

    \b
    Examples:
      bridge-site up shop:app            run them in the foreground, with one log
      bridge-site up shop:app --dev      and boot new code whenever a file changes
      bridge-site up shop:app --detach   run them in the background
      bridge-site status                 show what runs
      bridge-site units shop:app         print units for systemd
      bridge-site schedules              show the next moments of the schedules

    \b
    Exit codes: 0 done; 1 it is not up, or not all is ready; 2 wrong usage or settings; 3 the broker cannot be reached
    or refuses; 4 the app cannot boot.
    """


@main.command()
@click.argument("app", required=False)
@config_option
@click.option("--dev", is_flag=True, help="Boot new code when a file changes. Needs the extra `dev-reload`.")
@click.option("--detach", is_flag=True, help="Return when all processes are ready; they go on in the background.")
@click.option("--log", "log_file", metavar="FILE", help="The log of --detach. [bridge-site.log]")
@options.logs
@click.pass_obj
def up(
    config: str | None,
    /,
    app: str | None,
    dev: bool,
    detach: bool,
    log_file: str | None,
    log_format: Any,
    log_level: Any,
) -> None:
    """Run the workers, the pool that [pool] describes, and the relay where the app spools, until SIGTERM or Ctrl-C.

    A process that ends is started again, with a growing wait. At the end the pool ends first, then the workers, then
    the relay; a second signal ends them at once. SIGHUP reloads the app.

    \b
    Examples:
      bridge-site up shop:app
      bridge-site up shop:app --dev
    """
    settings = load_settings(file=config, environ=environment())
    if detach:
        sys.exit(_detach(settings, Path(log_file or "bridge-site.log")))
    if dev and importlib.util.find_spec("watchfiles") is None:
        raise click.UsageError("--dev needs watchfiles: install the extra dev-reload of deferred-event-bridge.")
    before = dict(os.environ)  # `ServiceManager` removes its variables, and a restart needs them again
    manager = ServiceManager.of_this_process()
    further = ("--log-format", log_format, "--log-level", log_level)
    members = members_of(settings, _app(app), further)
    output = OneLog([OWN_NAME, *(member.name for member in members)], as_json=log_format == "json")
    configure_logging(log_format, log_level, cast(TextIO, OwnLines(output, OWN_NAME)))
    watched = changes(Path.cwd(), settings.file) if dev else None
    code = asyncio.run(run_site(SiteOptions(settings, members, output, manager, watched)))
    if code is None:
        sys.stderr.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], before)
    sys.exit(code)


@main.command()
@config_option
@click.pass_obj
def down(config: str | None, /) -> None:
    """End the processes that `up` runs, and wait until they have ended.

    \b
    Examples:
      bridge-site down
    """
    settings = load_settings(file=config)
    with _found(settings) as site:
        site.send(signal.SIGTERM)
        while not site.has_ended(60.0):
            click.echo(f"process {site.pid} still runs: it waits for running events", err=True)
    click.echo(f"process {site.pid} has ended")


@main.command()
@config_option
@click.pass_obj
def restart(config: str | None, /) -> None:
    """End the processes that `up` runs and start them again, with the settings and the code as they are now. Return
    when all are ready.

    \b
    Examples:
      bridge-site restart
    """
    settings = load_settings(file=config)
    with _found(settings) as site:
        before = site.status.get("started")
        site.send(RESTART)
        code = _ready(settings, lambda: site.has_ended(0), before)
    if code:
        raise Failure("bridge-site ended instead of beginning anew; its log has the reason", ExitCode(code))
    click.echo(f"process {site.pid} has begun anew")


@main.command()
@config_option
@options.as_json("Print the status as one JSON object.")
@click.pass_obj
def status(config: str | None, /, as_json: bool) -> None:
    """Show the processes that `up` runs. `bridge-status` shows what the workers do.

    \b
    Examples:
      bridge-site status --json | jq .ready
    """
    settings = load_settings(file=config)
    with _found(settings) as site:
        found = site.status
    if as_json:
        click.echo(json_text(found, indent=2))
    else:
        print_text(
            terminal(),
            f"site {site.pid}: {'ready' if found.get('ready') else found.get('trouble', 'not ready')}",
            "bold",
        )
        print_table(terminal(), _COLUMNS, _rows(found.get("processes", [])))
    sys.exit(ExitCode.DONE if found.get("ready") else ExitCode.INCOMPLETE)


@main.command()
@click.argument("app", required=False)
@config_option
@click.option("--user", metavar="USER", help="The user of the services. [the one who runs this]")
@click.option("--write", "target", metavar="DIR", help="Write the files into this directory instead of printing them.")
@options.as_json("Print the texts as one JSON object, by file name.")
@click.pass_obj
def units(config: str | None, /, app: str | None, user: str | None, target: str | None, as_json: bool) -> None:
    """Print systemd units for the processes that `up` would run: ready when the process is, with a watchdog and a
    sandbox.

    \b
    Examples:
      bridge-site units shop:app --user shop
      bridge-site units shop:app --user shop --write /etc/systemd/system
    """
    settings = load_settings(file=config, environ=environment())
    members = members_of(settings, _app(app))
    host = Host(user or _this_user(), Path.cwd(), programs())
    texts = units_of(settings, members, host)
    if target is not None:
        _write(Path(target), texts)
    elif as_json:
        click.echo(json_text(texts, indent=2))
    else:
        click.echo("\n".join(f"# {name}\n{text}" for name, text in texts.items()), nl=False)


@main.command()
@config_option
@options.as_json("Print the schedules as one JSON list.")
@click.pass_obj
def schedules(config: str | None, /, as_json: bool) -> None:
    """Show the schedules of bridge.toml: in words, and their next moment.

    \b
    Examples:
      bridge-site schedules --json | jq '.[].next'
    """
    now = datetime.now(UTC)
    found = [(each, next(each.moments(now), None)) for each in load_settings(file=config).schedules()]
    if as_json:
        listed = [
            {
                "name": each.name,
                "event": each.event,
                "cron": each.cron,
                "timezone": each.timezone,
                "words": each.words,
                "next": moment.isoformat() if moment is not None else None,
                "catch_up": each.catch_up.total_seconds(),
            }
            for each, moment in found
        ]
        click.echo(json_text(listed, indent=2))
        return
    if not found:
        click.echo("there are no schedules")
        return
    columns = (Column("schedule"), Column("event"), Column("when"), Column("next (UTC)"), Column("in", right=True))
    rows = [
        (
            *(each.name, each.event, each.words),
            *(
                ("never", "")
                if moment is None
                else (f"{moment:%Y-%m-%d %H:%M:%S}", _time((moment - now).total_seconds()))
            ),
        )
        for each, moment in found
    ]
    print_table(terminal(), columns, rows)


_COLUMNS = (
    Column("process"),
    Column("state", narrow=True),
    Column("pid", right=True, narrow=True),
    Column("for", right=True, narrow=True),
    Column("restarts", right=True, narrow=True),
    Column("says"),
)


def _rows(processes: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    for each in processes:
        pid = "" if each["pid"] is None else str(each["pid"])
        yield each["name"], each["state"], pid, _time(each["seconds"]), str(each["restarts"]), each["text"]


def _time(seconds: float) -> str:
    return duration_text(seconds, 1)


def _app(given: str | None) -> str | None:
    return given or environment().get("FLASK_APP")


def _found(settings: Settings) -> SiteProcess:
    """Return the running site. Raise `Failure` if there is none."""
    found = SiteProcess.found(settings.values)
    if found is None:
        raise Failure(NOT_UP, ExitCode.INCOMPLETE)
    return found


def _detach(settings: Settings, log_file: Path) -> int:
    """Run the same command in the background, without `--detach`; return when all is ready, or its exit code."""
    if (found := SiteProcess.found(settings.values)) is not None:
        with found:
            raise AlreadyUp(f"bridge-site is up already: process {found.pid}")
    command = [sys.executable, *(word for word in sys.orig_argv[1:] if word != "--detach")]
    with log_file.open("ab") as output:
        at = output.tell()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    code = _ready(settings, lambda: process.poll() is not None, None)
    if not code:
        click.echo(f"bridge-site is up: process {process.pid}; its log is {log_file.absolute()}")
        return ExitCode.DONE
    with log_file.open("rb") as written:
        written.seek(at)
        click.echo(printable(written.read().decode(errors="backslashreplace"), lines=True), err=True, nl=False)
    return process.returncode or ExitCode.INCOMPLETE


def _ready(settings: Settings, has_ended: Callable[[], bool], before: object) -> int:
    """Wait until a site that began at another time than `before` is ready; return 0. Return 1 if it has ended."""
    while True:
        if (found := SiteProcess.found(settings.values)) is not None:
            with found:
                if found.status.get("ready") and found.status.get("started") != before:
                    return ExitCode.DONE
        if has_ended():
            return ExitCode.INCOMPLETE
        time.sleep(_POLL_SECONDS)


def _this_user() -> str:
    import getpass

    return getpass.getuser()


def _write(directory: Path, texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        path = directory / name
        try:
            path.write_text(text)
        except OSError as error:
            raise Failure(f"{path} cannot be written: {error.strerror}", ExitCode.INCOMPLETE) from error
        click.echo(printable(str(path)))
