"""A dead letter at home: `bridge-dlq replay` runs it in the foreground, and `export` writes it as a test of pytest.

Both only read the ledger. The app runs in a process of its own, which imports no broker.
"""

import json
import subprocess
import sys
import tempfile
from base64 import b64encode
from pathlib import Path
from pprint import pformat

import click

from bridge.console.encoding import argument_text
from bridge.console.event_loop import run
from bridge.console.exit_codes import ExitCode
from bridge.console.letter_stage import LETTER, Stage, read_exit_code
from bridge.console.option_values import read_by
from bridge.console.process_ending import ending
from bridge.console.program import Failure
from bridge.console.site_options import Site, site_options
from bridge.event import UNKNOWN_TIME, format_time
from bridge.ledger import Dead, Letter
from bridge.queues import CATCH_ALL
from bridge.redaction import Redaction
from dead_letter.ledger_access import read_one

REPLAY = "app_adapter.letter_replay"

WIDTH = 100
"""Columns of a literal in a written test."""

_app = click.option(
    "--app", "target", callback=read_by(argument_text), metavar="APP", help="As for flask --app: shop:app."
)


@click.command()
@site_options
@click.argument("letter", metavar="NUMBER|ID_END")
@click.option(
    "--app",
    "target",
    required=True,
    callback=read_by(argument_text),
    metavar="APP",
    help="The app, as `flask --app` takes it: shop:app, 'shop:create_app()'.",
)
@click.option("--pdb", is_flag=True, help="Open the debugger where the listener failed.")
@click.pass_obj
def replay(site: Site, /, letter: str, target: str, pdb: bool) -> None:
    """Run a dead letter once in the foreground, in an app of this directory. The broker and the ledger do not change.

    Events that its listeners defer meanwhile are printed, and not published. Other effects of the app are real: use a
    database of your own. The exit code is 0 if it was delivered, 1 if not, and 4 if the app cannot boot.

    \b
    Examples:
      bridge-dlq replay 17 --app shop:app
      bridge-dlq replay 17 --app shop:app --pdb
    """
    history, content = run(read_one(site, letter))
    _check_readable(history.letter, content)
    with tempfile.TemporaryDirectory(prefix="bridge-letter-") as folder:
        Path(folder, LETTER).write_text(json.dumps(_fields(content)), encoding="utf-8")
        words = [sys.executable, "-m", REPLAY, target, folder, *(["--pdb"] if pdb else [])]
        status = subprocess.run(words, check=False).returncode  # this program
        code, stage = read_exit_code(Path(folder)), Stage.read(Path(folder))
    if code is None:
        code = ExitCode.APP if stage is Stage.LOADING else ExitCode.INCOMPLETE
        raise Failure(f"letter {history.letter.number}: its process {ending(status)} while it {stage}", code)
    click.get_current_context().exit(code)


@click.command()
@site_options
@click.argument("letter", metavar="NUMBER|ID_END")
@click.option("--pytest", "as_test", is_flag=True, help="Write a test of pytest. It is required.")
@_app
@click.pass_obj
def export(site: Site, /, letter: str, as_test: bool, target: str | None) -> None:
    """Write a dead letter as a test to standard output: it fails until the app delivers the event.

    Fields that the setting `redact` names are written as [redacted]. Without --app, the test uses the fixture `app` of
    your own tests.

    \b
    Examples:
      bridge-dlq export 17 --pytest > tests/test_letter_17.py
      bridge-dlq export 17 --pytest --app shop:app > tests/test_letter_17.py
    """
    if not as_test:
        raise click.UsageError("export as what? Expected --pytest")
    history, content = run(read_one(site, letter))
    _check_readable(history.letter, content)
    redacted = Redaction(site.settings().values.redact).in_letter(content)
    click.echo(test_source(history.letter, redacted, target), nl=False)


def test_source(dead: Dead, letter: Letter, target: str | None) -> str:
    """Return the source of a test that runs this letter. `target` is the app, None: that of the fixture `app`."""
    event, queue = letter.envelope.event, letter.queue or CATCH_ALL
    died = "at an unknown time" if letter.time == UNKNOWN_TIME else f"{letter.time:%Y-%m-%d %H:%M} UTC"
    # Escapes are shown and not evaluated: since Python 3.13 a docstring has to be UTF-8.
    title = ascii(dead.fingerprint.title.replace("…", "..."))[1:-1].replace("\\", "\\\\").replace('"', "'")
    arguments = [
        f"content_type={event.content_type!a}",
        f"id={event.id!a}",
        f"source={event.source!a}",
        f"time=datetime.fromisoformat({format_time(event.time)!a})",
        f"queue={queue!a}",
        *([f"finished={tuple(letter.envelope.finished)!a}"] if letter.envelope.finished else []),
    ]
    body = "\n".join(f"    {line}" for line in pformat(event.data, width=WIDTH).splitlines())
    fixture = _FIXTURE.format(target=target) if target is not None else ""
    imports = "\nimport pytest\nfrom flask.cli import ScriptInfo\n" if target is not None else ""
    joined = "".join(f"        {argument},\n" for argument in arguments)
    return (
        f'"""Dead letter {dead.number}, which died {died}.\n\n{title}\n"""\n\n'
        f"from datetime import datetime\n{imports}\n"
        f"DATA = (\n{body}\n)\n{fixture}\n\n"
        f"def test_dead_letter_{dead.number}_is_delivered(app, deferred_events):\n"
        f"    received = deferred_events.received(\n"
        f"        app,\n        {event.name!a},\n        DATA,\n{joined}    )\n"
        f"    received.replay()\n"
    )


_FIXTURE = """

@pytest.fixture
def app():
    return ScriptInfo(app_import_path={target!r}).load_app()
"""


def _fields(letter: Letter) -> dict[str, object]:
    event = letter.envelope.event
    return {
        "name": event.name,
        "id": event.id,
        "source": event.source,
        "time": format_time(event.time),
        "content_type": event.content_type,
        "queue": letter.queue or CATCH_ALL,
        "finished": list(letter.envelope.finished),
        "data": b64encode(event.data).decode(),
    }


def _check_readable(dead: Dead, letter: Letter) -> None:
    if letter.unread is not None:
        why = "its envelope is of a version that this program does not know, or is damaged"
        raise Failure(f"letter {dead.number} cannot be run: {why}", ExitCode.INCOMPLETE)
    if letter.erased:
        raise Failure(f"letter {dead.number} cannot be run: its data were erased", ExitCode.INCOMPLETE)
