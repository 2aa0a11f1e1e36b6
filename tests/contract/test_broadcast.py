"""Broadcasts: messages to all listeners, and questions to all of them."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import closing
from typing import Any

import pytest
from pamqp.commands import Basic

from bridge.brokers.contract.broker import Broker
from bridge.brokers.opening import open_broker
from bridge.errors import TooLarge
from bridge.logs import MAX_RECORD
from bridge.queues import Queue
from tests.contract.conftest import OpenBroker, Site
from tests.contract.rabbitmq_site import RabbitSite
from tests.contract.sqlite_site import SqliteSite
from tests.limits import PATIENCE

Content = Mapping[str, Any]

WITHIN = 0.5
"""Seconds to wait for answers, which usually take a tenth of that."""


class Inbox:
    """A listener that stores its messages and answers none."""

    def __init__(self) -> None:
        self._messages: asyncio.Queue[Content] = asyncio.Queue()

    async def __call__(self, content: Content) -> None:
        self._messages.put_nowait(content)

    async def next(self) -> Content:
        """Return the next message."""
        async with asyncio.timeout(PATIENCE):
            return await self._messages.get()


def answering(who: str) -> Callable[[Content], Awaitable[Content]]:
    """Return a listener that answers with a name and the question."""

    async def answer(content: Content) -> Content:
        return {"who": who, **content}

    return answer


def at_least(count: int) -> Callable[[Sequence[Content]], bool]:
    """Return a function that returns True if it is given so many answers."""
    return lambda answers: len(answers) >= count


@pytest.fixture
async def brokers(another_broker: OpenBroker) -> list[Broker]:
    """The brokers of three processes, with everything declared."""
    brokers = [another_broker() for _ in range(3)]
    await brokers[0].declare([Queue("default")])
    return brokers


async def test_all_that_listen_get_it(brokers: list[Broker]) -> None:
    """Every process, including the sender's own, receives the messages in the order in which they were sent."""
    inboxes = [Inbox() for _ in brokers]
    one, two, three = (broker.broadcast("site") for broker in brokers)

    async with one.listen(inboxes[0]), two.listen(inboxes[1]), three.listen(inboxes[2]):
        for number in range(3):
            await one.tell({"n": number})
        got = [[await inbox.next() for _ in range(3)] for inbox in inboxes]

    assert got == [[{"n": 0}, {"n": 1}, {"n": 2}]] * 3


async def test_what_was_told_before_does_not_come(brokers: list[Broker]) -> None:
    """A listener receives no messages from before or after its block, and none of another subject."""
    inbox, other = Inbox(), Inbox()
    one, two = brokers[0].broadcast("site"), brokers[1].broadcast("site")
    await one.tell({"n": "before"})

    async with two.listen(inbox), brokers[2].broadcast("elsewhere").listen(other):
        await brokers[2].broadcast("elsewhere").tell({"n": "other"})
        await one.tell({"n": "now"})
        assert await inbox.next() == {"n": "now"}
        assert await other.next() == {"n": "other"}
    await one.tell({"n": "after"})
    async with two.listen(inbox):
        await one.tell({"n": "again"})
        assert await inbox.next() == {"n": "again"}


async def test_all_answer(brokers: list[Broker]) -> None:
    """Each listener, of this process and of others, answers a question."""
    one, two, three = (broker.broadcast("site") for broker in brokers)

    async with one.listen(answering("one")), two.listen(answering("two")):
        answers = await three.ask_all({"q": 1}, WITHIN, at_least(2), PATIENCE)
        again = await one.ask_all({"q": 2}, WITHIN, at_least(2), PATIENCE)

    assert sorted(answer["who"] for answer in answers) == ["one", "two"]
    assert {answer["q"] for answer in answers} == {1}
    assert sorted(answer["who"] for answer in again) == ["one", "two"]
    assert {answer["q"] for answer in again} == {2}


async def test_an_answer_that_is_late(brokers: list[Broker]) -> None:
    """Who asks with patience gets an answer that comes after the usual time, and then waits no longer."""
    late = asyncio.Event()

    async def answers_late(question: Content) -> Content:
        await late.wait()
        return {"who": "one"}

    def complete(answers: Sequence[Content]) -> bool:
        late.set()  # the usual time is over
        return len(answers) == 1

    async with brokers[0].broadcast("site").listen(answers_late), asyncio.timeout(PATIENCE):
        answers = await brokers[1].broadcast("site").ask_all({"q": 1}, 0.1, complete, patience=10 * PATIENCE)

    assert answers == [{"who": "one"}]


async def test_two_questions_at_once(brokers: list[Broker]) -> None:
    """Each of two simultaneous questions gets its own answers."""
    async with brokers[0].broadcast("site").listen(answering("one")):
        asker = brokers[1].broadcast("site")

        answers = await asyncio.gather(
            *(asker.ask_all({"q": number}, WITHIN, at_least(1), PATIENCE) for number in range(3))
        )

    assert answers == [[{"who": "one", "q": number}] for number in range(3)]


async def test_nobody_listens(brokers: list[Broker]) -> None:
    """Without listeners, a question gets no answer within its time, and sending a message is no error."""
    broadcast, loop = brokers[0].broadcast("site"), asyncio.get_running_loop()
    await broadcast.tell({"n": 1})
    began = loop.time()

    assert await broadcast.ask_all({"q": 1}, 0.2) == []

    assert 0.2 <= loop.time() - began < 30


async def test_who_fails_or_has_no_answer(brokers: list[Broker], caplog: pytest.LogCaptureFixture) -> None:
    """A listener that raises is logged, sends no answer, and gets the next message; so does one that returns None."""
    messages = Inbox()

    async def failing(content: Content) -> Content | None:
        await messages(content)
        if content["n"] == 1:
            raise ZeroDivisionError("a listener's own defect")
        return None

    broadcast = brokers[1].broadcast("site")
    async with brokers[0].broadcast("site").listen(failing):
        for number in (1, 2):
            assert await broadcast.ask_all({"n": number}, 0.3) == []
            assert await messages.next() == {"n": number}

    assert "a listener's own defect" in caplog.text


async def test_too_large(brokers: list[Broker]) -> None:
    """A message beyond the limit is refused."""
    with pytest.raises(TooLarge):
        await brokers[0].broadcast("site").tell({"n": "x" * MAX_RECORD})


async def test_what_cannot_be_read_is_dropped(brokers: list[Broker], site: Site) -> None:
    """A message that cannot be read is dropped, and the next one is delivered."""
    inbox = Inbox()
    await brokers[1].broadcast("site").tell({"n": 0})
    async with brokers[0].broadcast("site").listen(inbox):
        for data in (b"", b"\xff", b"[]", b"[" * 100_000):
            await site.broadcast_raw("site", data)
        await brokers[1].broadcast("site").tell({"n": 1})

        assert await inbox.next() == {"n": 1}


@pytest.mark.rabbitmq
async def test_nobody_is_answered_who_is_not_an_asker(rabbit_site: RabbitSite) -> None:
    """A listener sends no answer to a queue that a foreign message names."""
    broker = open_broker(rabbit_site.url, rabbit_site.namespace)
    await broker.declare([Queue("default")])
    target = f"{rabbit_site.namespace}.q.default"

    async with broker.broadcast("site").listen(answering("one")):
        properties = Basic.Properties(reply_to=target)
        await rabbit_site.publish_raw(f"{rabbit_site.namespace}.broadcast", "site", b'{"q":1}', properties)
        assert len(await broker.broadcast("site").ask_all({"q": 2}, WITHIN, at_least(1), PATIENCE)) == 1

    assert await rabbit_site.count(target) == 0
    await broker.close()


async def test_a_file_keeps_nothing(sqlite_site: SqliteSite) -> None:
    """On SQLite, the next message deletes rows older than a minute, questions are deleted when they are over, and the
    wake-up files of killed processes are removed."""
    broker = open_broker(sqlite_site.url, sqlite_site.namespace)
    await broker.broadcast("site").tell({"n": "old"})
    left_over = sqlite_site.path.with_name(f"{sqlite_site.path.name}.listener-dead")
    left_over.touch()
    with closing(sqlite_site.connection()) as connection:
        connection.execute('UPDATE "bridge.broadcast" SET time = time - 61000000')

    async with broker.broadcast("site").listen(answering("one")):
        assert len(await broker.broadcast("site").ask_all({"q": 1}, WITHIN, at_least(1), PATIENCE)) == 1

    with closing(sqlite_site.connection()) as connection:
        assert connection.execute('SELECT count(*) FROM "bridge.broadcast"').fetchone() == (0,)
    assert list(sqlite_site.path.parent.glob("*.listener-*")) == []
    await broker.close()
