"""The protocol of systemd's `sd_notify(3)`: a program tells its service manager that it is ready, reloads, stops and is
alive. Under no service manager nothing is sent. What cannot be sent, because this process has no free file descriptor
for example, is sent with the next message.

The service manager is systemd with `Type=notify`, or `bridge-site up`.
"""

import asyncio
import os
import socket
import time
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import NoReturn, Self

from bridge.console.printable import printable
from bridge.logger import log

SOCKET = "NOTIFY_SOCKET"
_VARIABLES = (SOCKET, "WATCHDOG_USEC", "WATCHDOG_PID")

STATUS_SECONDS = 10.0
"""Seconds between two looks at the status, which is sent if it has changed."""


@dataclass(slots=True)
class ServiceManager:
    """The service manager of this process. `address` is the path of its socket, None without a manager. A path that
    begins with `@` is in the abstract namespace. `watchdog` is the time in seconds after which the manager ends a
    process that it has not heard from, None for no limit."""

    address: str | None = None
    watchdog: float | None = None
    _status: str = field(default="", init=False)
    _untold: dict[str, str] = field(default_factory=dict, init=False)
    _trouble: str = field(default="", init=False)

    @classmethod
    def of_this_process(cls, environ: MutableMapping[str, str] = os.environ) -> Self:
        """Return the manager that the environment names. The variables are removed: they are not for the processes that
        this process starts."""
        address, limit, pid = (environ.pop(name, "") for name in _VARIABLES)
        is_asked = bool(address) and limit.isdecimal() and int(limit) > 0 and pid in ("", str(os.getpid()))
        known = address.startswith(("/", "@"))
        if address and not known:
            log.warning("%s is %r: expected a path; the service manager is told nothing", SOCKET, address)
        return cls(address if known else None, int(limit) / 1e6 if is_asked and known else None)

    def ready(self, status: str = "") -> None:
        """Tell the manager that the process is ready, after its start or a reload."""
        self._send({"READY": "1"}, status)

    def reloading(self) -> None:
        """Tell the manager that a reload begins. `ready` tells its end."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send({"RELOADING": "1", "MONOTONIC_USEC": str(now)})

    def stopping(self, status: str = "") -> None:
        """Tell the manager that the process takes no more work, and ends when the running work is done."""
        self._send({"STOPPING": "1"}, status)

    async def keep_informed(self, status: Callable[[], str]) -> NoReturn:
        """Tell the manager that the event loop is alive, and the status when it has changed, until cancelled."""
        while self.address is not None:
            self._send({"WATCHDOG": "1"} if self.watchdog is not None else {}, status())
            await asyncio.sleep(min(STATUS_SECONDS, self.watchdog / 3 if self.watchdog is not None else STATUS_SECONDS))
        await asyncio.Event().wait()
        raise AssertionError("an event that nobody sets")

    def _send(self, fields: Mapping[str, str], status: str = "") -> None:
        """Send what could not be sent before, the fields, and the status if it has changed. If a message has several
        states, the last one counts; since systemd 253, READY goes before RELOADING, and STOPPING before both."""
        if self.address is None:
            return
        self._untold = {name: value for name, value in self._untold.items() if name not in fields} | dict(fields)
        if status and status != self._status:
            self._status = status
            self._untold["STATUS"] = printable(status)
        if not self._untold:
            return
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        message = "\n".join(f"{name}={value}" for name, value in self._untold.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
                client.setblocking(False)
                client.sendto(message.encode(), address)
        except BlockingIOError:
            pass  # the manager is busy
        except (OSError, ValueError) as error:
            self._fail(error)
        else:
            self._untold.clear()
            self._trouble = ""

    def _fail(self, error: OSError | ValueError) -> None:
        if str(error) != self._trouble:
            self._trouble = str(error)
            log.warning("the service manager at %s cannot be told anything: %s", self.address, error)
        if isinstance(error, ValueError) or error.errno is None:  # no socket can have this address
            self.address = None
