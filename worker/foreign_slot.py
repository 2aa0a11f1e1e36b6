"""A server that others run, and the slots that are the connections it may have. It starts and ends no process.

A server that cannot be connected to is away: all its slots retire, and one look after the other, with back-off, finds
it again. A slot whose request was refused (the server is overloaded) retires alone. Each is said once in the log.
"""

import asyncio

from bridge.foreign_pool import Address
from bridge.outcome import Exchange, NotTaken
from bridge.telemetry import log
from worker.connecting import connect
from worker.error_output import tell_error_output
from worker.patience import back_off
from worker.transport import Transport


class ForeignServer:
    """One address: whether it can be connected to, and whether it is one for us at all."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.fit = True
        """False once it has said that it serves no Responders."""
        self._slots: set[ForeignSlot] = set()
        self._looking = asyncio.Lock()
        self._seen = False
        self._said: str | None = None

    def __repr__(self) -> str:
        return f"<ForeignServer {self.address}>"

    def open(self, *, keep: bool) -> "ForeignSlot":
        """Return a new slot."""
        slot = ForeignSlot(self, keep=keep)
        self._slots.add(slot)
        return slot

    async def reachable(self) -> bool:
        """Wait until a connection can be made; return False where that is of no use."""
        async with self._looking:
            for wait in back_off():
                if not self.fit or self._seen or await self._look():
                    break
                await asyncio.sleep(wait)
        return self.fit

    def taken(self) -> None:
        """Hear that it took a request."""
        self._well("full")

    def not_taken(self, refusal: NotTaken) -> None:
        """Hear that it refused a request."""
        if refusal.for_ever:
            self.fit = False
            log.error("%s is used no more: %s, for it is no FastCGI Responder", self.address, refusal.why)
            self._retire_slots()
        else:
            self._ill("full", refusal.why)

    def lost(self, why: str) -> None:
        """Hear that no connection could be made."""
        self._seen = False
        self._ill("away", why)
        self._retire_slots()

    def forget(self, slot: "ForeignSlot") -> None:
        """Hear that a slot is gone."""
        self._slots.discard(slot)

    async def _look(self) -> bool:
        try:
            transport = await connect(self.address)
            transport.close()
        except BlockingIOError:
            pass  # it is there, and busy
        except OSError as error:
            self._ill("away", str(error))
            return False
        self._seen = True
        self._well("away")
        return True

    def _ill(self, kind: str, why: str) -> None:
        if self._said is None:
            self._said = kind
            log.warning(
                "%s takes no requests; events are kept, and it is tried again", self.address, extra={"why": why}
            )

    def _well(self, kind: str) -> None:
        if self._said == kind:
            self._said = None
            log.info("%s takes requests again", self.address)

    def _retire_slots(self) -> None:
        for slot in tuple(self._slots):
            slot.retire()


class ForeignSlot:
    """Room for one event in flight at one server. With `keep` the connection serves one request after the other, which
    pins a process of the server; without, each request has its own."""

    def __init__(self, server: ForeignServer, *, keep: bool) -> None:
        self.served = False
        """Whether it took a request."""
        self._server = server
        self._keep = keep
        self._kept: Transport | None = None
        self._busy = False
        self._retired = False
        self._ended = asyncio.Event()

    def __repr__(self) -> str:
        return f"<ForeignSlot {self._server.address}>"

    @property
    def usable(self) -> bool:
        """Whether a further request may go through it."""
        return not self._retired

    async def exchange(self, parameters: dict[str, str], body: bytes, deadline: float) -> Exchange:
        """Send one request, and return what came of it within `deadline` seconds of the connection. What was not taken
        retires the slot."""
        self._busy = True
        try:
            exchange = await self._exchange(parameters, body, deadline)
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

    def retire(self) -> None:
        """Take no further request. What runs ends by itself, and a kept connection is closed."""
        self._retired = True
        if self._busy:
            return
        transport, self._kept = self._kept, None
        if transport is not None:
            transport.close()
        self._server.forget(self)
        self._ended.set()

    async def ended(self) -> None:
        """Wait until it is retired, and nothing runs in it."""
        await self._ended.wait()

    async def _exchange(self, parameters: dict[str, str], body: bytes, deadline: float) -> Exchange:
        transport, self._kept = self._kept, None
        if transport is None or not transport.usable or not transport.silent:
            if transport is not None:
                transport.close()
            try:
                transport = await connect(self._server.address)
            except OSError as error:
                return self._not_connected(error)
        exchange = await transport.exchange(parameters, body, deadline, keep=self._keep)
        tell_error_output(parameters, exchange)
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
