"""A server of a foreign pool, and its slots: the connections that it may have. Nothing here starts or ends a process.

If a server cannot be connected to, all its slots retire, and connections are tried with back-off until one succeeds. If
a server refuses a request (it is overloaded), the slot of that request retires alone. Each change is logged once.
"""

import asyncio
import random

from bridge.back_off import BackOff
from bridge.config.foreign_pool import Address
from bridge.fastcgi import Limits
from bridge.logger import log
from bridge.outcome import Exchange
from worker.slots.connecting import connect
from worker.slots.one_at_a_time import OneAtATime
from worker.slots.slot import NotTaken, Request, Run
from worker.slots.transcript import log_error_output
from worker.slots.transport import Transport

SERVER_BACK_OFF = BackOff(first=0.2, at_most=10.0)
"""The wait before a server that takes no requests is tried again."""


class ForeignServer:
    """The server at one address: whether it can be connected to, and whether it is a FastCGI Responder."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.fit = True
        """False after the server has answered that it is no Responder."""
        self._slots: set[ForeignSlot] = set()
        self._looking = asyncio.Lock()
        self._reached = False
        self._logged: str | None = None

    def __repr__(self) -> str:
        return f"<ForeignServer {self.address}>"

    def open(self, *, keep: bool) -> "ForeignSlot":
        """Return a new slot."""
        slot = ForeignSlot(self, keep=keep)
        self._slots.add(slot)
        return slot

    async def reachable(self) -> bool:
        """Wait until the server can be connected to and return True; return False if it is no Responder."""
        async with self._looking:
            for wait in SERVER_BACK_OFF.waits(random.random):
                if not self.fit or self._reached or await self._look():
                    break
                await asyncio.sleep(wait)
        return self.fit

    def taken(self) -> None:
        """Note that the server took a request."""
        self._log_recovery("full")

    def not_taken(self, refusal: NotTaken) -> None:
        """Note that the server refused a request."""
        if refusal.for_ever:
            self.fit = False
            log.error("%s is not used any more, because it is no FastCGI Responder: %s", self.address, refusal.why)
            self._retire_slots()
        else:
            self._log_trouble("full", refusal.why)

    def lost(self, why: str) -> None:
        """Note that a connection could not be made, and retire all slots of the server."""
        self._reached = False
        self._log_trouble("away", why)
        self._retire_slots()

    def forget(self, slot: "ForeignSlot") -> None:
        """Remove a slot that has retired."""
        self._slots.discard(slot)

    async def _look(self) -> bool:
        try:
            transport = Transport(Limits())
            await connect(self.address, transport)
            transport.close()
        except BlockingIOError:
            pass  # the server runs, and is busy
        except OSError as error:
            self._log_trouble("away", str(error))
            return False
        self._reached = True
        self._log_recovery("away")
        return True

    def _log_trouble(self, kind: str, why: str) -> None:
        if self._logged is None:
            self._logged = kind
            log.warning(
                "%s takes no requests; events wait, and the server is tried again", self.address, extra={"why": why}
            )

    def _log_recovery(self, kind: str) -> None:
        if self._logged == kind:
            self._logged = None
            log.info("%s takes requests again", self.address)

    def _retire_slots(self) -> None:
        for slot in tuple(self._slots):
            slot.retire()


class ForeignSlot(OneAtATime):
    """Room for one request in flight at one server. With `keep`, one connection serves request after request, which
    occupies a process of the server. Without it, each request has a connection of its own."""

    def __init__(self, server: ForeignServer, *, keep: bool) -> None:
        self.served = False
        """True if the slot has run a request."""
        self._server = server
        self._keep = keep
        self._kept: Transport | None = None
        self._used: Transport | None = None
        self._busy = False
        self._retired = False
        self._ended = asyncio.Event()

    def __repr__(self) -> str:
        return f"<ForeignSlot {self._server.address}>"

    @property
    def pid(self) -> None:
        """None: others run the pool."""
        return None

    @property
    def usable(self) -> bool:
        """True if the slot can run a further request."""
        return not self._retired

    async def exchange(self, request: Request, deadline: float) -> Exchange | NotTaken:
        """Send a request and return its exchange, which ends at most `deadline` seconds after the connection was made.
        If the server does not take the request, the slot retires."""
        self._busy = True
        try:
            exchange = await self._exchange(request, deadline)
        finally:
            self._busy = False
            if self._retired:
                self.retire()
        if isinstance(exchange, NotTaken):
            self.retire()
        else:
            self.served = True
            self._server.taken()
        return exchange

    def interrupt(self, run: Run) -> None:
        """End the request that runs as at its deadline: its connection is closed."""
        if self._used is not None:
            self._used.cut_short()

    def retire(self) -> None:
        """Take no further request. A running request finishes, and a kept connection is closed."""
        self._retired = True
        if self._busy:
            return
        transport, self._kept = self._kept, None
        if transport is not None:
            transport.close()
        self._server.forget(self)
        self._ended.set()

    async def ended(self) -> None:
        """Wait until the slot is retired and runs no request."""
        await self._ended.wait()

    async def _exchange(self, request: Request, deadline: float) -> Exchange | NotTaken:
        transport, self._kept = self._kept, None
        if transport is not None and not (transport.usable and transport.silent):
            transport.close()
            transport = None
        kept, transport = transport is not None, transport or Transport(Limits())
        prepared = transport.prepare(request.encoded, keep=self._keep)
        if not kept:
            try:
                await connect(self._server.address, transport)
            except OSError as error:
                return self._not_connected(error)
        self._used = transport
        exchange = await transport.exchange_prepared(prepared, deadline, request.room)
        if transport.other_protocol is not None:
            exchange = NotTaken(transport.other_protocol, for_ever=True)
        log_error_output(request, exchange)
        if isinstance(exchange, NotTaken):
            self._server.not_taken(exchange)
        elif transport.usable:
            self._kept = transport
        return exchange

    def _not_connected(self, error: OSError) -> NotTaken:
        refusal = NotTaken(f"{self._server.address}: {error}")
        if isinstance(error, BlockingIOError):
            self._server.not_taken(refusal)
        else:
            self._server.lost(str(error))
        return refusal
