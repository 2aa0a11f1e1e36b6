"""One process of a site: started, watched, started again when it ends, and ended."""

import asyncio
import contextlib
import ctypes
import os
import random
import signal
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from bridge.config.environment import CHECKED
from bridge.console.process_ending import ending
from bridge.console.service_manager import SOCKET
from bridge.logger import log
from worker.site.members import Member
from worker.site.output import Lines, OneLog
from worker.site.restarts import STABLE_SECONDS, GiveUp, after_end

State = Literal["starting", "ready", "reloading", "stopping", "waiting", "ended"]

WATCHDOG_SECONDS = 60.0
"""A process whose event loop was not alive for this long is killed, and started again."""

LATE_SECONDS = 15.0
"""Seconds beyond the times that a process has to start or to end, after which it is killed."""

OUTPUT_SECONDS = 1.0
"""Seconds for the last output of a process that has ended. A process that it left behind may hold the pipe."""

_PR_SET_PDEATHSIG = 1
_PRCTL = ctypes.CDLL(None).prctl


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """A process at one moment. `seconds` is the time in this state; `text` its own words."""

    name: str
    state: State
    pid: int | None
    restarts: int
    seconds: float
    text: str

    def as_json(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return asdict(self)


class MemberProcess:
    """Runs a member of the site. `patient`: see `restarts.after_end`."""

    def __init__(self, member: Member, programs: Path, manager: Path, output: OneLog, *, patient: bool = False) -> None:
        self.member = member
        self.became_ready = asyncio.Event()
        self._programs = programs
        self._manager = manager
        self._output = output
        self._patient = patient
        self._process: asyncio.subprocess.Process | None = None
        self._state: State = "starting"
        self._since = self._now()
        self._alive = self._now()
        self._text = ""
        self._restarts = 0
        self._failures = 0
        self._stopping = False
        self._again = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """Its process id, None if it does not run."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    def status(self) -> ProcessStatus:
        """Return the state of the process."""
        seconds = round(self._now() - self._since, 3)
        return ProcessStatus(self.member.name, self._state, self.pid, self._restarts, seconds, self._text)

    async def run(self) -> int:
        """Keep the process running until `stop`, and return 0; or its exit code if another start would not help."""
        while not self._stopping:
            code = await self._run_once()
            if self._stopping:
                break
            decision = after_end(
                code,
                was_ever_ready=self.became_ready.is_set(),
                failures=self._failures,
                chance=random.random(),
                patient=self._patient,
            )
            name = self.member.name
            if isinstance(decision, GiveUp):
                log.error("%s %s before it was ready; the site ends", name, ending(code))
                return decision.code
            self._become("waiting")
            self._restarts += 1
            log.error("%s %s; it is started again in %.1f s", name, ending(code), decision.seconds)
            await self._wait(decision.seconds)
        self._become("ended")
        return 0

    def hear(self, fields: Mapping[str, str]) -> None:
        """Take a message of the process to its service manager."""
        self._alive = self._now()
        self._text = fields.get("STATUS", self._text)
        if "STOPPING" in fields:
            self._become("stopping")
        elif "READY" in fields:
            self._become("ready")
            self.became_ready.set()
        elif "RELOADING" in fields:
            self._become("reloading")

    def reload(self) -> None:
        """Let the process boot new code, or start it again at once if it waits for that."""
        self._again.set()
        if self.member.reloads and self._state in ("ready", "reloading"):
            self.send(signal.SIGHUP)

    async def stop(self) -> None:
        """Let the process finish what runs, and wait for its end; kill it if it takes too long."""
        self._stopping = True
        self._again.set()
        if (process := self._process) is None:
            return
        self.send(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), self.member.grace + LATE_SECONDS)
        except TimeoutError:
            log.error("%s does not end; killing it", self.member.name)
            self.send(signal.SIGKILL)
            await process.wait()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process, if it runs."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def look(self) -> None:
        """Kill the process if it did not become ready in time, or if its event loop is not alive."""
        quiet = self._now() - self._alive
        if self._state == "starting" and quiet > self.member.boot + LATE_SECONDS:
            log.error("%s was not ready after %.0f s; killing it", self.member.name, quiet)
            self.send(signal.SIGKILL)
        elif self._state in ("ready", "reloading") and quiet > WATCHDOG_SECONDS:
            log.error("the event loop of %s was not alive for %.0f s; killing it", self.member.name, quiet)
            self.send(signal.SIGKILL)

    async def _run_once(self) -> int:
        """Start the process, pass its output on, and return its exit code."""
        self._become("starting")
        self._alive, self._text = self._now(), ""
        try:
            process = self._process = await self._start()
        except OSError as error:
            log.error("%s cannot be started: %s", self.member.name, error)
            self._failures += 1
            return 1
        if self._stopping:  # asked for while the process was being started
            self.send(signal.SIGTERM)
        passing_on = asyncio.create_task(self._pass_on(process))
        code = await process.wait()
        await asyncio.wait({passing_on}, timeout=OUTPUT_SECONDS)
        passing_on.cancel()
        was_stable = self._state == "ready" and self._now() - self._since > STABLE_SECONDS
        self._failures = 1 if was_stable else self._failures + 1
        return code

    async def _start(self) -> asyncio.subprocess.Process:
        limit = str(int(WATCHDOG_SECONDS * 1e6))
        told = {SOCKET: str(self._manager), "WATCHDOG_USEC": limit, CHECKED: "1"}
        return await asyncio.create_subprocess_exec(
            str(self._programs / self.member.program),
            *self.member.arguments,
            env={**os.environ, **told},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches bridge-site alone, which ends its processes in order
            preexec_fn=_end_with_the_site,
        )

    async def _pass_on(self, process: asyncio.subprocess.Process) -> None:
        """Write the lines of the process to the one log, until its output ends or it has ended."""
        assert process.stdout is not None
        lines = Lines()
        while data := await process.stdout.read(1 << 16):
            for line in lines.take(data):
                self._output.write(self.member.name, line)
        for line in lines.rest():
            self._output.write(self.member.name, line)

    async def _wait(self, seconds: float) -> None:
        self._again.clear()
        if self._stopping:
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._again.wait(), seconds)

    def _become(self, state: State) -> None:
        if state != self._state:
            self._state, self._since = state, self._now()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _end_with_the_site() -> None:
    """Let the kernel ask the process to stop if bridge-site is killed."""
    _PRCTL(_PR_SET_PDEATHSIG, signal.SIGTERM)
