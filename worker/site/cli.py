"""`bridge-site`: the commands and their options. The other modules of this package do the work."""

import asyncio
import importlib.util
import os
import signal
import sys
from collections.abc import Callable, Mapping
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
from bridge.console.service_manager import ServiceManager
from worker.site.background import detach_site, site_that_is_up, wait_until_ready
from worker.site.members import members_of
from worker.site.output import OneLog, OwnLines
from worker.site.rendering import Planned, print_schedules, print_site
from worker.site.running import RESTART, SiteOptions, changes, programs, run_site
from worker.site.units import Host, units_of

OWN_NAME = "site"
"""The name of `bridge-site` itself in the log."""


def config_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--config`, which may be given before or after the command's name. The context's object is its value."""

    def note(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
        ctx.obj = ctx.find_object(str) if value is None else value

    added: Callable[..., Any] = options.config(callback=note, expose_value=False)(command)
    return added


@click.group(cls=ProgramGroup, context_settings=HELP, reads_dot_env=True)
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
    Exit codes: 0 done; 1 it is not up, or not all is ready; 2 wrong usage or settings; 4 the app cannot boot.
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
    """Run the workers, the pool that [pool] describes, and the relay of the spool and of [stores], until SIGTERM or
    Ctrl-C.

    A process that ends is started again, with a growing wait. At the end the pool ends first, then the workers, then
    the relay; a second signal ends them at once. SIGHUP reloads the app.

    \b
    Examples:
      bridge-site up shop:app
      bridge-site up shop:app --dev
    """
    settings = _settings(config)
    if detach:
        sys.exit(detach_site(settings, Path(log_file or "bridge-site.log")))
    if dev and importlib.util.find_spec("watchfiles") is None:
        raise click.UsageError("--dev needs watchfiles: install the extra dev-reload of deferred-event-bridge.")
    before = dict(os.environ)  # `ServiceManager` removes its variables, and a restart needs them again
    manager = ServiceManager.of_this_process()
    further = ("--log-format", log_format, "--log-level", log_level)
    members = members_of(settings, _app(app), further)
    output = OneLog(OWN_NAME, [member.name for member in members], as_json=log_format == "json")
    configure_logging(log_format, log_level, cast(TextIO, OwnLines(output, OWN_NAME)))
    watched = changes(Path.cwd(), settings.file) if dev else None
    code = asyncio.run(run_site(SiteOptions(settings, members, output, manager, watched)))
    if code is None:
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
    settings = _settings(config)
    with site_that_is_up(settings) as site:
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
    settings = _settings(config)
    with site_that_is_up(settings) as site:
        before = site.status.get("started")
        site.send(RESTART)
        code = wait_until_ready(settings, lambda: site.has_ended(0), before)
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
    settings = _settings(config)
    with site_that_is_up(settings) as site:
        found = site.status
    if as_json:
        click.echo(json_text(found, indent=2))
    else:
        print_site(site.pid, found)
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
    settings = _settings(config)
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
    found = [Planned(each, next(each.moments(now), None)) for each in _settings(config).schedules()]
    if as_json:
        click.echo(json_text([each.document() for each in found], indent=2))
    else:
        print_schedules(found, now)


def _settings(file: str | None) -> Settings:
    """Read the settings as the processes of the site do: with `.env`."""
    return load_settings(file=file, environ=environment())


def _app(given: str | None) -> str | None:
    return given or environment().get("FLASK_APP")


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
