"""What all programs have in common on the command line."""

import tomllib
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner

ROOT = Path(__file__).parents[2]
PROGRAMS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]


def said(program: str, word: str) -> str:
    """What a program prints for this word."""
    module, _, name = PROGRAMS[program].partition(":")
    result = CliRunner().invoke(getattr(import_module(module), name), [word])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_helps(program: str) -> None:
    """With the short option as well as with the long one, and with an example."""
    assert said(program, "-h") == said(program, "--help")
    assert f" {program} " in said(program, "-h")


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_tells_its_version(program: str) -> None:
    """It is the package's."""
    assert version("deferred-event-bridge") in said(program, "--version")
