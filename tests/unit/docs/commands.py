"""The programs' commands, as Click knows them, and the command lines of a shell block."""

import re
import shlex
import tomllib
from collections.abc import Iterator

import click

import app_adapter.call_cli
import app_adapter.cli
import app_adapter.ingress_cli
import app_adapter.mailbox_cli
import app_adapter.outbox_cli
import app_adapter.relay_cli
import dead_letter.cli
import worker.bench.cli
import worker.cli
import worker.control.status_cli
import worker.doctor.cli
import worker.history.cli
import worker.moving.move_cli
import worker.operating.queues_cli
import worker.pool_cli
import worker.site.cli
from deferred_event_bridge.dashboard import top_cli, web_cli
from tests.unit.docs.markdown import ROOT

SCRIPTS: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]
PROGRAMS: dict[str, click.Command] = {
    "bridge-worker": worker.cli.main,
    "bridge-pool": worker.pool_cli.main,
    "bridge-status": worker.control.status_cli.main,
    "bridge-dlq": dead_letter.cli.main,
    "bridge-defer": app_adapter.cli.main,
    "bridge-call": app_adapter.call_cli.main,
    "bridge-doctor": worker.doctor.cli.main,
    "bridge-queues": worker.operating.queues_cli.main,
    "bridge-events": worker.history.cli.main,
    "bridge-outbox": app_adapter.outbox_cli.main,
    "bridge-ingress": app_adapter.ingress_cli.main,
    "bridge-mailbox": app_adapter.mailbox_cli.main,
    "bridge-move": worker.moving.move_cli.main,
    "bridge-relay": app_adapter.relay_cli.main,
    "bridge-site": worker.site.cli.main,
    "bridge-bench": worker.bench.cli.main,
    "bridge-top": top_cli.main,
    "bridge-web": web_cli.main,
}
OTHERS = {
    "cd",
    "mkdir",
    "printf",
    "python3",
    ".",
    "pip",
    "flask",
    "curl",
    "make",
    "docker",
    "rabbitmqctl",
    "jq",
    "pytest",
    "systemctl",
    "sqlite3",
}
"""The commands that a block may run in addition to our programs."""


def subcommands(program: str) -> dict[str, click.Command]:
    """Return the commands of a program by name, such as `list` or `groups note`; none where it has none."""
    return dict(_below(PROGRAMS[program]))


def _below(command: click.Command) -> Iterator[tuple[str, click.Command]]:
    for name, found in command.commands.items() if isinstance(command, click.Group) else ():
        yield name, found
        yield from ((f"{name} {deeper}", each) for deeper, each in _below(found))


def options(command: click.Command) -> set[str]:
    """Return the long options of a command, but for those that all programs have."""
    found = {name for option in command.params if isinstance(option, click.Option) for name in option.opts}
    return {name for name in found if name.startswith("--")} - {"--help", "--version"}


def lines_of(text: str) -> Iterator[list[str]]:
    """Yield each command of a shell block as its words: of a pipe each part, without redirections."""
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;><")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in lexer:
            if re.fullmatch(r"[|&;]+", word):
                yield words
                words = []
            else:
                words.append(word)
        if words:
            yield words
