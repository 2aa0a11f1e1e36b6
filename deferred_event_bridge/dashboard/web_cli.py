"""`bridge-web`: serves the page, and makes the entries of its users."""

import json
import secrets
import signal
import sys

import click

from bridge.config.dashboard_settings import Role
from bridge.config.foreign_pool import Address
from bridge.config.notation import plain_name
from bridge.console import options
from bridge.console.exit_codes import ExitCode
from bridge.console.option_values import read_by
from bridge.console.printable import json_text, printable
from bridge.console.program import HELP, Failure, ProgramGroup, version_option
from bridge.console.site_options import Site, site_options
from deferred_event_bridge.dashboard.access import hash_of
from deferred_event_bridge.dashboard.application import create_app
from deferred_event_bridge.dashboard.blueprint import NAME
from deferred_event_bridge.dashboard.guarding import MAX_FORM

THREADS = 8
LEAST_PASSWORD = 10
"""The fewest characters of a password."""


@click.group(cls=ProgramGroup, without="serve", context_settings=HELP)
@version_option
@site_options
def main() -> None:
    """Serve the page of a site: what it does, what fails, and what to do about it.

    Without a command: serve, with its options.

    \b
    Examples:
      bridge-web user ana --role edit             ask for a password, print the tables for bridge.toml
      bridge-web                                  serve on http://127.0.0.1:8090/
      bridge-web --listen 0.0.0.0:8090 --proxy    behind a web server that speaks HTTPS

    \b
    Exit codes: 0 done; 2 wrong usage or settings, such as no users.
    """


@main.command()
@site_options
@click.option(
    "--listen",
    callback=read_by(Address.to_listen_on),
    default="127.0.0.1:8090",
    show_default=True,
    help="The host:port.",
)
@click.option(
    "--proxy", is_flag=True, help="Believe X-Forwarded-For, -Proto, -Host and -Prefix: a web server in front sets them."
)
@click.pass_obj
def serve(site: Site | None, /, listen: Address, proxy: bool) -> None:
    """Serve the page until SIGTERM or Ctrl-C, with waitress (the extra `web`).

    \b
    Examples:
      bridge-web serve --listen 127.0.0.1:8090
    """
    try:
        import waitress
    except ImportError as error:
        raise Failure("waitress is missing: pip install 'deferred-event-bridge[web]'", ExitCode.USAGE) from error
    from werkzeug.middleware.proxy_fix import ProxyFix

    app = create_app((site or Site()).settings())
    host, port = listen.host, listen.port
    if proxy:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1, x_prefix=1)  # type: ignore[method-assign]  # Flask's own recipe
    try:
        server = waitress.create_server(
            app, host=host, port=port, threads=THREADS, ident=None, max_request_body_size=MAX_FORM + 1
        )  # which refuses this size, before it stores anything
    except OSError as error:
        raise Failure(f"--listen {host}:{port}: {error.strerror or error}", ExitCode.USAGE) from error
    signal.signal(signal.SIGTERM, _end)
    app.extensions[NAME].begin()  # nothing forks from here on
    click.echo(f"The page is at http://{f'[{host}]' if ':' in host else host}:{server.effective_port}/")
    server.run()


@main.command()
@site_options
@click.argument("name", callback=read_by(plain_name))
@click.option(
    "--role", type=click.Choice([str(role) for role in Role]), default=str(Role.SEE), help="What the user may do. [see]"
)
@options.as_json("Print the user and a secret as one JSON object.")
@click.pass_obj
def user(site: Site | None, /, name: str, role: str, as_json: bool) -> None:
    """Print the tables of bridge.toml that let a user in, with the hash of the password.

    The password is asked for, or read from a line of standard input. It is stored nowhere.

    \b
    Examples:
      bridge-web user ana --role operate >> bridge.toml
      pass show page/ana | bridge-web user ana --json
    """
    password = _password(name)
    if len(password) < LEAST_PASSWORD:
        raise Failure(f"password: expected {LEAST_PASSWORD} characters or more", ExitCode.USAGE)
    dashboard = (site or Site()).settings().values.dashboard
    if dashboard is not None and name in dashboard.users:
        raise Failure(printable(f"dashboard.users.{name} exists: expected another name"), ExitCode.USAGE)
    secret = None if dashboard is not None and dashboard.secret is not None else secrets.token_urlsafe(32)
    entry = {"password": hash_of(password), "role": role}
    if as_json:
        click.echo(json_text({"name": name, **entry, "secret": secret}))
        return
    if sys.stdout.isatty():
        click.echo("In bridge.toml:", err=True)
    lines = [""]
    if secret is not None:
        lines += ["[dashboard]", f"secret = {json.dumps(secret)}", ""]
    lines += [f"[dashboard.users.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in entry.items())]
    click.echo(printable("\n".join(lines), lines=True))


def _end(_number: int, _frame: object) -> None:
    raise SystemExit(ExitCode.DONE)  # which waitress turns into an orderly end


def _password(name: str) -> str:
    if sys.stdin.isatty():
        return str(click.prompt(f"Password of {name}", hide_input=True, confirmation_prompt=True, err=True))
    return sys.stdin.readline().rstrip("\r\n")
