"""The page over the demo's data: a user with a new password, and `bridge-web`."""

import asyncio
import secrets
import socket
import time

from rich.console import Console
from werkzeug.security import generate_password_hash

from .place import APP, CONFIG, EXAMPLES, PROGRAMS, Place
from .processes import DemoFailed, Processes

USER = "demo"
STARTED_SECONDS = 30.0
LOOKED_EVERY = 0.1
PRINTED = "The page is at "


async def keep_page_open(place: Place, processes: Processes, console: Console) -> None:
    """Serve the page, with a worker beside it, until Ctrl-C. Raise `DemoFailed` if a process ends."""
    password = secrets.token_urlsafe(9)
    file = place.directory / "page.toml"
    file.write_text(CONFIG.read_text("utf-8") + _tables(password), "utf-8")
    processes.start("worker", [str(PROGRAMS / "bridge-worker"), APP], EXAMPLES)
    listen = ("--listen", f"127.0.0.1:{_free_port()}")
    processes.start("page", [str(PROGRAMS / "bridge-web"), *listen, "--config", str(file)], EXAMPLES)
    address = await _address(place, processes)
    console.print(f"\nThe page is at [bold]{address}[/]: user [bold]{USER}[/], password [bold]{password}[/]")
    console.print("Ctrl-C ends it.")
    while True:
        processes.check()
        await asyncio.sleep(LOOKED_EVERY)


def _tables(password: str) -> str:
    return f"""
[dashboard]
title = "demo"
secret = "{secrets.token_urlsafe(32)}"

[dashboard.users.{USER}]
role = "edit"
password = "{generate_password_hash(password)}"
"""


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


async def _address(place: Place, processes: Processes) -> str:
    """Return the address that `bridge-web` prints."""
    log, end = place.directory / "page.log", time.monotonic() + STARTED_SECONDS
    while time.monotonic() < end:
        processes.check()
        _, found, address = log.read_text(errors="replace").partition(PRINTED)
        if found and "\n" in address:
            return address.splitlines()[0]
        await asyncio.sleep(LOOKED_EVERY)
    raise DemoFailed(f"the page did not start within {STARTED_SECONDS:g} s; {place.logs}")
