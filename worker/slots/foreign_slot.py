"""A server of a foreign pool, and its slots: the connections that it may have. Nothing here starts or ends a process.

If a server cannot be connected to, all its slots retire, and connections are tried with back-off until one succeeds. If
a server refuses a request (it is overloaded), the slot of that request retires alone. Each change is logged once.
"""

import asyncio
import random
import socket
from collections.abc import Sequence

from bridge.back_off import BackOff
from bridge.config.foreign_pool import Address
from bridge.fastcgi import Connection, ReplyMemory
from bridge.logger import log
from bridge.outcome import Exchange
from worker.slots.arriving_reply import LastReply
from worker.slots.connecting import connect, connect_to_path
from worker.slots.slot import NotTaken, Run
from worker.slots.transcript import log_error_output
from worker.slots.transport import Transport
from worker.slots.watch import Watch

SERVER_BACK_OFF = BackOff(first=0.2, at_most=10.0)
"""The wait before a server that takes no requests is tried again."""

END_SEEN_WITHIN = 0.005
"""Seconds that a server has to see the end of a connection that was only a look: it may count its connections."""


class ForeignServer:
    """The server at one address: whether it can be connected to, and whether it is a FastCGI Responder."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.fit = True
        """False after the server has answered that it is no Responder."""
        self.memory = ReplyMemory()
        """Its last reply, for the connections to it."""
        self.last_reply = LastReply()
        """The same as an exchange, for the transports to it."""
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
            (await connect(self.address)).close()
        except BlockingIOError:
            pass  # the server runs, and is busy
        except OSError as error:
            self._log_trouble("away", str(error))
            return False
        self._reached = True
        self._log_recovery("away")
        await asyncio.sleep(END_SEEN_WITHIN)
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


class ForeignSlot:
    """Room for one request in flight at one server. With `keep`, one connection serves request after request, which
    occupies a process of the server. Without it, each request has a connection of its own."""

    def __init__(self, server: ForeignServer, *, keep: bool) -> None:
        self.served = False
        """True if the slot has run a request."""
        self._server = server
        self._keep = keep
        self._loop = asyncio.get_running_loop()
        self._run: Run | None = None
        self._began = 0.0
        self._due = 0.0
        self._transport: Transport | None = None
        self._beginning: asyncio.Handle | asyncio.Task[None] | None = None
        self._deadline = Watch(self._check_deadline)
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

    @property
    def room(self) -> int:
        """1 if the slot is usable and runs nothing."""
        return int(not self._retired and self._run is None)

    @property
    def at_a_time(self) -> int:
        """1: each reply is read on its own."""
        return 1

    def begin(self, run: Run) -> None:
        """Send the request of a run in the next turn of the loop. The run ends at most its deadline after the connect.
        If the server does not take the request, the slot retires."""
        self._run, self._began = run, self._loop.time()
        self._beginning = self._loop.call_soon(self._begin, run)

    def recall(self) -> Sequence[Run]:
        """Return nothing: no run waits behind another."""
        return ()

    def abandon(self, run: Run) -> None:
        """Close the connection of a run."""
        if self._run is run:
            if self._beginning is not None:
                self._beginning.cancel()
            self._close()
            self._let_go()

    def interrupt(self, run: Run) -> None:
        """End the request that runs as at its deadline: its connection is closed."""
        if self._run is run and self._transport is not None:
            self._transport.run_out(run.deadline)

    def retire(self) -> None:
        """Take no further request. A running request finishes, and a kept connection is closed."""
        self._retired = True
        if self._run is None:
            self._leave_if_retired()

    async def ended(self) -> None:
        """Wait until the slot is retired and runs no request."""
        await self._ended.wait()

    def _leave_if_retired(self) -> None:
        if self._retired:
            self._close()
            self._deadline.stop()
            self._server.forget(self)
            self._ended.set()

    def _close(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()

    def _begin(self, run: Run) -> None:
        try:
            self._make_and_send(run)
        except Exception as error:
            self._fail(run, error)

    def _make_and_send(self, run: Run) -> None:
        transport = self._transport
        if transport is not None and not transport.silent():
            transport.close()
            self._transport = transport = None
        connection = Connection(memory=self._server.memory) if transport is None else transport.connection
        # The request is made first: a large one takes some time, in which a process of the server would wait for it.
        request = connection.send(run.request.encoded, keep_connection=self._keep)
        if transport is not None:
            self._send(transport, request)
        elif self._server.address.path is None:
            self._beginning = self._loop.create_task(self._connect(run, connection, request))
        else:
            self._connect_to_path(self._server.address.path, connection, request)

    def _connect_to_path(self, path: str, connection: Connection, request: bytes) -> None:
        try:
            sock = connect_to_path(path)
        except OSError as error:
            self._not_connected(error)
        else:
            self._send(self._opened(sock, connection), request)

    async def _connect(self, run: Run, connection: Connection, request: bytes) -> None:
        try:
            try:
                sock = await connect(self._server.address)
            except OSError as error:
                self._not_connected(error)
            else:
                self._send(self._opened(sock, connection), request)
        except Exception as error:  # also of a name that cannot be looked up, though the settings have checked it
            self._fail(run, error)

    def _opened(self, sock: socket.socket, connection: Connection) -> Transport:
        self._transport = Transport(sock, connection, self._server.last_reply, self._end)
        return self._transport

    def _send(self, transport: Transport, request: bytes) -> None:
        assert self._run is not None
        self._beginning = None
        self._due = self._loop.time() + self._run.deadline
        self._deadline.by(self._due)
        transport.send(request, self._run.request.room)

    def _check_deadline(self) -> None:
        if self._run is None or self._transport is None:
            return
        if self._loop.time() < self._due:
            self._deadline.by(self._due)
        else:
            self._transport.run_out(self._run.deadline)

    def _fail(self, run: Run, error: Exception) -> None:
        """End a run with an error of the worker itself, for which no deadline runs. Close its connection, on which a
        part of the request may be."""
        self._close()
        if self._run is not run:
            raise error
        self._let_go()
        run.line.failed(run, error)

    def _not_connected(self, error: OSError) -> None:
        refusal = NotTaken(f"{self._server.address}: {error}")
        if isinstance(error, BlockingIOError):
            self._server.not_taken(refusal)
        else:
            self._server.lost(str(error))
        self._end_run(refusal)

    def _end(self, exchange: Exchange | NotTaken) -> None:
        """End the run whose exchange has ended."""
        assert self._run is not None
        log_error_output(self._run.request, exchange)
        if isinstance(exchange, NotTaken):
            self._server.not_taken(exchange)
        else:
            self.served = True
            self._server.taken()
        self._end_run(exchange)

    def _end_run(self, exchange: Exchange | NotTaken) -> None:
        if isinstance(exchange, NotTaken):
            self._retired = True
        run = self._let_go()
        run.line.ended(run, exchange, self._loop.time() - self._began)

    def _let_go(self) -> Run:
        """Run nothing any more, and return the run that has ended."""
        assert self._run is not None
        run, self._run, self._beginning = self._run, None, None
        self._leave_if_retired()
        return run
