"""A site that runs in the background: start it, find it, and wait until it is ready."""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from bridge.config.settings import Settings
from bridge.console.exit_codes import ExitCode
from bridge.console.printable import printable
from bridge.console.program import Failure
from worker.site.presence import AlreadyUp, SiteProcess
from worker.site.rendering import processes_in_words

NOT_UP = "bridge-site is not up for these settings"
_POLL_SECONDS = 0.1
_PATIENT_SECONDS = 5.0
"""After this time, and then after each doubling of it, people are told what they wait for."""


def site_that_is_up(settings: Settings) -> SiteProcess:
    """Return the running site. Raise `Failure` if there is none."""
    found = SiteProcess.found(settings.values)
    if found is None:
        raise Failure(NOT_UP, ExitCode.INCOMPLETE)
    return found


def detach_site(settings: Settings, log_file: Path) -> int:
    """Run this process's command in the background, without `--detach`; return when all is ready, or its exit code."""
    if (found := SiteProcess.found(settings.values)) is not None:
        with found:
            raise AlreadyUp(f"bridge-site is up already: process {found.pid}")
    command = [sys.executable, *(word for word in sys.orig_argv[1:] if word != "--detach")]
    with log_file.open("ab") as output:
        at = output.tell()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    code = wait_until_ready(settings, lambda: process.poll() is not None, None, str(log_file.absolute()))
    if not code:
        click.echo(f"bridge-site is up: process {process.pid}; its log is {log_file.absolute()}")
        return ExitCode.DONE
    with log_file.open("rb") as written:
        written.seek(at)
        click.echo(printable(written.read().decode(errors="backslashreplace"), lines=True), err=True, nl=False)
    return process.returncode or ExitCode.INCOMPLETE


def wait_until_ready(settings: Settings, has_ended: Callable[[], bool], before: object, log: str = "its log") -> int:
    """Wait until a site that began at another time than `before` is ready; return 0. Return 1 if it has ended. Print
    now and then which processes are not ready; `log` names the place with the reason."""
    began, patience = time.monotonic(), _PATIENT_SECONDS
    while True:
        status: Mapping[str, Any] = {}
        if (found := SiteProcess.found(settings.values)) is not None:
            with found:
                status = found.status
        if status.get("ready") and status.get("started") != before:
            return ExitCode.DONE
        if has_ended():
            return ExitCode.INCOMPLETE
        if time.monotonic() - began > patience:
            click.echo(f"not all is ready ({processes_in_words(status)}); {log} has the reason", err=True)
            patience *= 2
        time.sleep(_POLL_SECONDS)
