"""The command line of a program: its help with examples, and its exit. A program that ends with an error of the bridge
prints the error's message to standard error and returns its exit code."""

import errno
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import click

from bridge.config.dot_env import unread
from bridge.console.encoding import PLAIN
from bridge.console.exit_codes import BY_SIGNAL, ExitCode, exit_code_of
from bridge.console.printable import printable
from bridge.console.standard_streams import open_standard_streams
from bridge.errors import BridgeError

_OUTPUT_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""Errors of writing to standard output. The same error from opening a file has a file name."""

HELP = {"help_option_names": ["-h", "--help"]}


class Failure(BridgeError):
    """An error that ends the program with this message and this exit code."""

    def __init__(self, message: str, code: ExitCode) -> None:
        super().__init__(message)
        self.code = code


class Program(click.Command):
    """A program without commands of its own. `reads_dot_env` is True if it takes settings from `.env` too."""

    reads_dot_env = False

    def main(self, *arguments: Any, **options: Any) -> Any:
        open_standard_streams()
        return super().main(*arguments, **options)

    def invoke(self, ctx: click.Context) -> Any:
        with _ended(ctx):
            _warn_of_unread_variables(self.reads_dot_env)
            return super().invoke(ctx)


class CommandGroup(click.Group):
    """Commands below one name. `without` is the command that runs if none is named; it gets the options then, which
    have to include those of the group."""

    def __init__(self, *arguments: Any, without: str | None = None, **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        self._without = without

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if self._without is not None and not self._names_command(ctx, args):
            args = [self._without, *args]
        return super().parse_args(ctx, args)

    def _names_command(self, ctx: click.Context, args: list[str]) -> bool:
        """Return True if the arguments have a command, or ask for the help or the version."""
        try:
            given, words, _ = self.make_parser(ctx).parse_args(list(args))
        except click.NoSuchOption:
            return False  # an option of the command, such as --json
        except click.UsageError:
            return True  # reported when the arguments are parsed
        return bool(words) or any(each.is_eager and each.name in given for each in self.get_params(ctx))


class ProgramGroup(CommandGroup):
    """A program that has commands. `reads_dot_env` is True if they take settings from `.env` too."""

    def __init__(self, *arguments: Any, reads_dot_env: bool = False, **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        self._reads_dot_env = reads_dot_env

    def main(self, *arguments: Any, **options: Any) -> Any:
        open_standard_streams()
        return super().main(*arguments, **options)

    def invoke(self, ctx: click.Context) -> Any:
        with _ended(ctx):
            _warn_of_unread_variables(self._reads_dot_env)
            return self.invoke_command(ctx)

    def invoke_command(self, ctx: click.Context) -> Any:
        """Run the chosen command. A subclass may override this to turn its own errors into a `Failure`."""
        return super().invoke(ctx)


def program(*examples: str, reads_dot_env: bool = False) -> Callable[[Callable[..., Any]], click.Command]:
    """Return a decorator that makes a function a program. The help of the program ends with these examples."""

    def declare(function: Callable[..., Any]) -> click.Command:
        command = click.command(cls=Program, epilog=_listed(examples), context_settings=HELP)(function)
        command.reads_dot_env = reads_dot_env
        return command

    return declare


version_option = click.version_option(package_name="deferred-event-bridge")


def _listed(examples: tuple[str, ...]) -> str:
    return "\n".join(["\b", "Examples:", *(f"  {example}" for example in examples)])


def _warn_of_unread_variables(reads_dot_env: bool) -> None:
    warning = unread(reads_dot_env)
    if warning is not None:
        click.echo(f"Warning: {printable(warning)}", err=True)


@contextmanager
def _ended(ctx: click.Context) -> Iterator[None]:
    """End the program with a message and an exit code on an error of the bridge, on an error of writing the output, and
    on Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=PLAIN)  # for terminals whose encoding is not UTF-8
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # an error of this flush can be reported here, but not when the interpreter exits
    except BridgeError as error:
        _end(ctx, str(error), error.code if isinstance(error, Failure) else exit_code_of(error))
    except OSError as error:
        if error.errno not in _OUTPUT_ERRORS or error.filename is not None:
            raise  # the output did not fail, or the error is EPIPE, for which click exits without a message
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the interpreter's last flush succeeds
        _end(ctx, f"the output cannot be written: {error.strerror}", ExitCode.INCOMPLETE)
    except KeyboardInterrupt:
        click.echo("\nInterrupted.", err=True)
        ctx.exit(BY_SIGNAL + signal.SIGINT)


def _end(ctx: click.Context, message: str, code: int) -> NoReturn:
    click.echo(f"Error: {printable(message, lines=True)}", err=True)
    ctx.exit(code)
