"""Every command that is shown can be typed, and every command, option and exit that exists is documented."""

import re
from itertools import takewhile
from pathlib import Path

import click
import pytest

from deferred_event_bridge.dashboard.web_cli import LEAST_PASSWORD
from tests.unit.docs.commands import OTHERS, PROGRAMS, SCRIPTS, lines_of, options, subcommands
from tests.unit.docs.markdown import DOCS, PAGES, README, ROOT, Block, all_blocks, blocks, rows, section, spans

REFERENCE = ROOT / "docs" / "programs.md"
MAKE_TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


def parse(words: list[str]) -> None:
    """Let Click read a command line as the program would, without running it. Raise what it raises."""
    program, *arguments = words
    context, command = None, PROGRAMS[program]
    while isinstance(command, click.Group):
        at = next((at for at, word in enumerate(arguments) if word in command.commands), len(arguments))
        context = command.make_context(program, arguments[: at + 1], parent=context)
        if at == len(arguments):
            return
        program, command, arguments = arguments[at], command.commands[arguments[at]], arguments[at + 1 :]
    command.make_context(program, arguments, parent=context)


@pytest.mark.parametrize("block", all_blocks("sh"), ids=str)
def test_every_command_line_can_be_typed(block: Block) -> None:
    """Our programs take each option and argument, make has each target, and nothing is misspelt."""
    for words in lines_of(block.text):
        name = words[0]
        if name in PROGRAMS:
            parse(list(takewhile(lambda word: word not in (">", ">>"), words)))
        elif name == "make":
            assert set(words[1:]) <= MAKE_TARGETS
        else:
            assert name in OTHERS


def test_the_readme_has_the_commands_of_the_page_about_a_failing_event() -> None:
    """A test follows that page, and so runs what the README says about an event that fails."""
    walk = section(README, "Your app").partition("### When an event fails")[2].partition("### ")[0]
    shown = [words for block in re.findall(r"```sh\n(.*?)```", walk, re.DOTALL) for words in lines_of(block)]
    followed = [words for block in blocks(ROOT / "docs" / "failing-event.md", "sh") for words in lines_of(block.text)]
    assert len(shown) == 7
    assert [words for words in shown if words not in followed] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_in_a_sentence_has_its_options(page: Path) -> None:
    """`bridge-status --ready`, written in running text, is one that the program takes."""
    for span in spans(page):
        words = span.split()
        if words[0] in PROGRAMS:
            known = options(PROGRAMS[words[0]]).union(*map(options, subcommands(words[0]).values()))
            assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known, span


@pytest.mark.parametrize("program", SCRIPTS)
def test_every_program_and_option_is_documented(program: str) -> None:
    """In a section of its own, with each option of its commands."""
    text = section(REFERENCE, f"`{program}`")
    documented = set(re.findall(r"`(--[a-z-]+)", text))
    existing = options(PROGRAMS[program]).union(*map(options, subcommands(program).values()))
    assert existing <= documented


@pytest.mark.parametrize("program", ["bridge-dlq", "bridge-queues", "bridge-events", "bridge-site", "bridge-web"])
def test_each_option_is_documented_with_its_commands(program: str) -> None:
    """The second column of the table has the commands that take the option."""
    leaves = {name: each for name, each in subcommands(program).items() if not isinstance(each, click.Group)}
    documented: dict[str, set[str]] = {}
    for option, cell, *_ in rows(section(REFERENCE, f"`{program}`")):
        words = {found.partition(" --")[0] for found in re.findall(r"`([^`]+)`", cell)}
        named = {word if word in leaves else f"{word} list" for word in words}
        for name in re.findall(r"`(--[a-z-]+)", option):
            documented.setdefault(name, set()).update(set(leaves) - named if cell.startswith("all") else named)
    taken = {name: {leaf for leaf, each in leaves.items() if name in options(each)} for name in documented}
    assert documented == taken


@pytest.mark.parametrize("program", SCRIPTS)
def test_each_word_of_an_option_is_documented(program: str) -> None:
    """An option that takes one of some words has all of them, but for the log's: docs/logging.md is about them."""
    documented = set(re.findall(r"`([^`]+)`", section(REFERENCE, f"`{program}`").replace(" ", "` `")))
    commands = [PROGRAMS[program], *subcommands(program).values()]
    words = {
        word
        for command in commands
        for each in command.params
        if isinstance(kind := each.type, click.Choice) and not str(each.name).startswith("log_")
        for word in kind.choices
    }
    assert words <= documented


@pytest.mark.parametrize(
    "page", [README, ROOT / "docs" / "failing-event.md", ROOT / "docs" / "dashboard.md", REFERENCE]
)
def test_who_makes_a_user_knows_how_long_a_password_is(page: Path) -> None:
    """Before the program refuses it."""
    assert f"a password of {LEAST_PASSWORD} characters or more" in page.read_text("utf-8")


@pytest.mark.parametrize("command", subcommands("bridge-dlq"))
def test_every_command_of_bridge_dlq_is_documented(command: str) -> None:
    """With an example."""
    pages = {page.name: page.read_text("utf-8") for page in DOCS}
    assert f"bridge-dlq {command}" in pages["programs.md"]
    assert f"bridge-dlq {command}" in pages["dead-letters.md"]
