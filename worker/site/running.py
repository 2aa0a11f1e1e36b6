"""A running site: its processes, its one log, and how it ends."""

import asyncio
import os
import signal
import sysconfig
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bridge.config.settings import Settings
from bridge.console.exit_codes import ExitCode
from bridge.console.service_manager import ServiceManager
from bridge.logger import log
from worker.site.members import Member, Stage
from worker.site.notices import listening
from worker.site.output import OneLog
from worker.site.presence import Places, present
from worker.site.process import MemberProcess

RESTART = signal.SIGUSR1
"""The signal at which a site stops its processes and executes itself again, with new settings and new code."""

_LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class SiteOptions:
    """The options of one run. `watched`: the changes of files that ask for new code, None without `--dev`."""

    settings: Settings
    members: tuple[Member, ...]
    output: OneLog
    manager: ServiceManager
    watched: AsyncIterator[bool] | None = None
    """Yields True for a change of the settings, which needs a restart, and False for a change of code."""


async def run_site(options: SiteOptions) -> int | None:
    """Run the processes of the site until it is asked to stop, or a process cannot start. Return the exit code; None if
    it was asked to restart. Raise `AlreadyUp`, or `SettingsError` if the control directory cannot be used."""
    site = _Site(options)
    async with present(options.settings.values, site.status) as places:
        with listening(places.notices, site.hear):
            code = await site.run(places)
    return None if site.is_to_restart else code


def programs() -> Path:
    """Return the directory of the installed programs."""
    return Path(sysconfig.get_path("scripts"))


class _Site:
    """The processes of a site, while they run."""

    def __init__(self, options: SiteOptions) -> None:
        self._options = options
        self._processes: list[MemberProcess] = []
        self._stop = asyncio.Event()
        self._work: set[asyncio.Task[Any]] = set()
        self._started = datetime.now(UTC).isoformat()
        self.is_to_restart = False

    def status(self) -> dict[str, Any]:
        """Return the status for JSON."""
        return {
            "pid": os.getpid(),
            "started": self._started,
            "ready": self._is_ready(),
            "stopping": self._stop.is_set(),
            "settings": str(self._options.settings.file) if self._options.settings.file else None,
            "processes": [each.status().as_json() for each in self._processes],
        }

    def hear(self, pid: int, fields: Mapping[str, str]) -> None:
        """Take a message of one of the processes."""
        for each in self._processes:
            if each.pid == pid:
                each.hear(fields)

    async def run(self, places: Places) -> int:
        """Run the processes; return the exit code."""
        patient = self._options.watched is not None
        self._processes = [
            MemberProcess(member, programs(), places.notices, self._options.output, patient=patient)
            for member in self._options.members
        ]
        self._handle_signals()
        tasks = [self._begin(each.run()) for each in self._processes]
        stopped = self._begin(self._stop.wait())
        self._begin(self._report())
        self._begin(self._look())
        self._begin(self._options.manager.keep_informed(self._in_words))
        if self._options.watched is not None:
            self._begin(self._follow(self._options.watched))
        await asyncio.wait((stopped, *tasks), return_when=asyncio.FIRST_COMPLETED)
        self._stop.set()
        self._options.manager.stopping()
        await self._end()
        codes = [code for code in await asyncio.gather(*tasks) if code]
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        log.info("all processes have ended")
        return codes[0] if codes else ExitCode.DONE

    async def _end(self) -> None:
        """End the processes, one stage after the other."""
        for stage in Stage:
            stopping = [each for each in self._processes if each.member.stage is stage]
            for each in stopping:
                log.info("stopping %s", each.member.name)
            await asyncio.gather(*(each.stop() for each in stopping))

    async def _report(self) -> None:
        for each in self._processes:
            await each.became_ready.wait()
        names = ", ".join(each.member.name for each in self._processes)
        log.info("the site is ready: %s", names)
        self._options.manager.ready(self._in_words())

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            for each in self._processes:
                each.look()

    async def _follow(self, watched: AsyncIterator[bool]) -> None:
        async for is_setting in watched:
            if is_setting:
                log.info("the settings have changed: restarting")
                self._restart()
            else:
                log.info("files have changed: reloading")
                self._reload()

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked_to_stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        loop.add_signal_handler(RESTART, self._restart)

    def _asked_to_stop(self, number: signal.Signals) -> None:
        if self._stop.is_set():
            log.warning("%s again: ending at once", number.name)
            for each in self._processes:
                each.send(signal.SIGTERM)
                self._begin(each.stop())
        self._stop.set()

    def _reload(self) -> None:
        for each in self._processes:
            each.reload()

    def _restart(self) -> None:
        self.is_to_restart = True
        self._stop.set()

    def _is_ready(self) -> bool:
        return bool(self._processes) and all(each.status().state in ("ready", "reloading") for each in self._processes)

    def _in_words(self) -> str:
        return ", ".join(f"{each.member.name} {each.status().state}" for each in self._processes)

    def _begin(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(_log_failure)
        return task


def _log_failure(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("internal error of bridge-site", exc_info=error)


async def changes(directory: Path, settings: Path | None) -> AsyncIterator[bool]:
    """Yield for each change of Python files, templates or settings below the directory. Raise `ImportError` without the
    library watchfiles."""
    from watchfiles import DefaultFilter, awatch

    class _Relevant(DefaultFilter):
        def __call__(self, change: Any, path: str) -> bool:
            return super().__call__(change, path) and path.endswith((".py", ".html", ".toml", ".jinja", ".env"))

    with suppress(asyncio.CancelledError):
        async for changed in awatch(directory, watch_filter=_Relevant()):
            yield settings is not None and any(Path(path) == settings for _, path in changed)
