"""The bounded queue of messages for one listener to broadcasts, which is called with one after the other."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from bridge.brokers.contract.broadcast import Listener
from bridge.errors import BridgeError
from bridge.logs import Content, decode_record, encode_record

MOST_WAITING = 1000
"""Messages that may wait for the listener. Further ones are dropped."""

log = logging.getLogger(__name__)

Answer = Callable[[bytes], Awaitable[None]]


class ListenerInbox:
    """One listener and the messages that wait for it."""

    def __init__(self, subject: str, listener: Listener) -> None:
        self._subject = subject
        self._listener = listener
        self._waiting: asyncio.Queue[tuple[Content, Answer | None]] = asyncio.Queue(MOST_WAITING)

    def take(self, data: bytes, answer: Answer | None) -> None:
        """Add a message; `answer` sends the answer if the message is a question. A message that cannot be read is
        logged and dropped."""
        content = decode_record(data)
        if content is None:
            log.warning("broadcast %s: dropping a message that cannot be read", self._subject)
            return
        try:
            self._waiting.put_nowait((content, answer))
        except asyncio.QueueFull:
            log.warning("broadcast %s: dropping a message: %d wait already", self._subject, MOST_WAITING)

    async def run(self) -> None:
        """Call the listener with each message, without end."""
        while True:
            content, answer = await self._waiting.get()
            try:
                result = await self._listener(content)
            except Exception:
                log.exception("broadcast %s: the listener failed; continuing with the next message", self._subject)
                continue
            if answer is None or result is None:
                continue
            try:
                await answer(encode_record(result))
            except BridgeError as error:
                log.warning("broadcast %s: dropping an answer that cannot be sent: %s", self._subject, error)
