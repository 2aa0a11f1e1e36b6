"""RabbitMQ only: a user of each role can do what the role needs, and nothing else; the doctor tells of other rights."""

import asyncio
import shlex
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest

from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.findings import Finding, FindingState
from bridge.brokers.contract.inspection import SiteOnBroker
from bridge.brokers.contract.roles import Role
from bridge.brokers.opening import definitions, inspect, open_broker, permissions
from bridge.cancellations import Cancellation
from bridge.config.values import HistorySettings
from bridge.errors import BridgeError, BrokerRefused, BrokerUnavailable, CallUnavailable
from bridge.handling import Priority
from bridge.ledger_keys import NO_KEYS
from bridge.logs import Content
from bridge.queues import Queue
from bridge.site_logs import FAILURES, HISTORY, PLANS, SCHEDULES, WORKERS
from tests.contract.acts import a_letter, an_event, consuming, entries_of, eventually, now, take
from tests.contract.calling import ask, question, serving
from tests.deadlines import within
from tests.limits import PATIENCE
from tests.managed_node import ManagedNode
from worker.control.controls_log import ControlsLog, new_pause

pytestmark = pytest.mark.rabbitmq

QUEUES = (Queue("mail", ("mail.#",)), Queue("default"))
NAMESPACE = "roles"

OpenAs = Callable[[Role], Broker]


@pytest.fixture
def site(managed: ManagedNode) -> SiteOnBroker:
    """A virtual host with everything that the site needs, as an administrator imports it."""
    url = managed.node.url + managed.new_vhost()
    history = HistorySettings().retention()
    site = SiteOnBroker(url, NAMESPACE, QUEUES, declares=False, history=history, mailboxes=["q1"])
    managed.request("POST", "/api/definitions", definitions(site))
    return site


def vhost(site: SiteOnBroker) -> str:
    """Return the virtual host of the site."""
    return site.url.rpartition("/")[2]


def make_user(managed: ManagedNode, site: SiteOnBroker, role: Role) -> str:
    """Make a user as the printed commands do; return the user's URL."""
    made, permitted, *tagged = map(shlex.split, permissions(site, role).splitlines())
    assert made == ["rabbitmqctl", "add_user", f"{NAMESPACE}-{role}"]
    assert permitted[:5] == ["rabbitmqctl", "set_permissions", "-p", vhost(site), f"{NAMESPACE}-{role}"]
    url = managed.add_user(permitted[4], *permitted[5:], vhost=vhost(site))
    for _, *words in tagged:
        managed.node.ctl(*words)
    return url


@pytest.fixture
async def open_as(managed: ManagedNode, site: SiteOnBroker) -> AsyncIterator[OpenAs]:
    """Opens the broker as the user of a role."""
    async with AsyncExitStack() as stack:

        def open_(role: Role) -> Broker:
            broker = open_broker(make_user(managed, site, role), NAMESPACE, declare=False)
            stack.push_async_callback(broker.close)
            return broker

        yield open_


async def refused(broker: Broker, name: str = "mail.sent") -> bool:
    """Return True if the user may not publish."""
    await broker.declare(QUEUES)
    try:
        await broker.publisher().publish(an_event(name), deadline=within(20))
    except BridgeError:
        return True
    return False


async def test_a_worker_shares_the_limits_of_a_site(open_as: OpenAs) -> None:
    """It holds a claim, keeps the log of schedules, and tells the other workers that it is there."""
    worker = open_as(Role.WORKER)
    heard: list[Content] = []

    async def hear(content: Content) -> None:
        heard.append(content)

    log, beats = worker.log(SCHEDULES.name, SCHEDULES.retention), worker.broadcast("rates")
    async with worker.claim("scheduler") as claim, beats.listen(hear):
        assert claim.held
        await log.append({"schedule": "nightly"})
        await beats.tell({"worker": "a"})
        await eventually(lambda: asyncio.sleep(0, heard), bool)

    assert [each.content async for each in log.read_back()] == [{"schedule": "nightly"}]


async def test_each_role_does_its_work(open_as: OpenAs) -> None:
    """A web process publishes now and later; a worker takes, retries at once and later, dead-letters, and publishes;
    a reader and a worker read the ledger; a decider redrives and discards."""
    web, worker, reader, decider = map(open_as, (Role.WEB, Role.WORKER, Role.READER, Role.DECIDER))
    for broker in (web, worker):
        await broker.declare(QUEUES)
    await web.publisher().publish(an_event("mail.sent"))
    await web.publisher().publish(an_event("other"), now() + timedelta(seconds=1))
    consumer = await consuming(worker, "mail", "default")
    delivery = await take(consumer)
    await delivery.retry(delivery.envelope, timedelta())
    delivery = await take(consumer)
    while delivery.queue != "mail":
        await delivery.ack()
        delivery = await take(consumer)
    await delivery.retry(delivery.envelope, timedelta(seconds=1))
    for _ in range(2):
        delivery = await take(consumer)
        await delivery.dead_letter(a_letter(delivery))
    await worker.publisher().publish(an_event("mail.by.a.listener"))
    last = await take(consumer)
    await last.dead_letter(a_letter(last))

    letters = await entries_of(reader)
    assert len(letters) == 3
    assert [entry async for entry in worker.ledger().entries_back()] == letters[::-1]
    async with decider.ledger().deciding() as decisions:
        letter = await decider.ledger().letter(letters[0].number)
        assert not isinstance(letter, BridgeError | None)
        await decisions.redrive(letters[0].number, letter.revived(now()), letter.queue, "ada", "")
        await decisions.discard(letters[1].number, "ada", "")

    assert (await take(consumer)).envelope.event.id == letter.envelope.event.id
    assert len(await entries_of(reader)) == 5


async def test_a_web_process_calls_and_a_worker_answers(open_as: OpenAs) -> None:
    """Nothing but the exchanges was declared before. A worker, whose children run the app, calls too."""
    web, worker = map(open_as, (Role.WEB, Role.WORKER))
    async with serving(worker, "mail"):
        for broker in (web, worker):
            assert (await ask(broker, question(b"ada"))).data == b"ada"


@pytest.mark.parametrize("role", [Role.WEB, Role.WORKER, Role.MAILBOX])
async def test_who_uses_mailboxes(open_as: OpenAs, role: Role) -> None:
    """These roles put and fetch messages. A mailbox that the administrator has not made is named."""
    mailboxes = open_as(role).mailboxes()
    await mailboxes.put("q1", b"one", Priority.HIGH, deadline=within(PATIENCE))
    message = await mailboxes.fetch("q1", PATIENCE, deadline=within(2 * PATIENCE))
    assert message is not None
    await message.ack()

    with pytest.raises(BrokerRefused, match=r"roles\.mailbox\.q2.*--definitions"):
        await mailboxes.fetch("q2", 0, deadline=within(PATIENCE))


async def test_who_only_uses_mailboxes_defers_nothing(open_as: OpenAs) -> None:
    """Such a user reaches no queue of events."""
    assert await refused(open_as(Role.MAILBOX))


async def test_who_may_not_call_is_told_at_once(open_as: OpenAs) -> None:
    """The message has RabbitMQ's words."""
    with pytest.raises(CallUnavailable, match=r"access to .* refused"):
        await ask(open_as(Role.READER), question())


async def test_an_operator_does_its_work(open_as: OpenAs) -> None:
    """An operator counts, pauses and purges; a worker reads the pause; a web process cancels an event."""
    web, worker, operator = map(open_as, (Role.WEB, Role.WORKER, Role.OPERATOR))
    event = an_event("mail.sent")
    await web.publisher().publish(event)
    await eventually(
        lambda: operator.operator().counts(["mail"]), lambda found: sum(found.queues["mail"].ready.values()) == 1
    )
    pause = new_pause(queue="mail", who="ada", why="a test")
    await ControlsLog(operator, NAMESPACE, NO_KEYS).decide(pause)
    await ControlsLog(web, NAMESPACE, NO_KEYS).cancel(Cancellation(event.id, False, "the app", "", now()))

    log = ControlsLog(worker, NAMESPACE, NO_KEYS)
    await log.read()

    assert log.controls.pauses(now()) == (pause,)
    assert log.cancellations.knows(event.id)
    assert await operator.operator().purge("mail") == 1

    async def answer(_question: Content) -> Content:
        return {"held": 1}

    async with worker.broadcast("status").listen(answer):
        answers = await eventually(lambda: operator.broadcast("status").ask_all({"n": 1}, 1.0), bool)
    assert list(answers) == [{"held": 1}]
    assert [record async for record in operator.log(WORKERS.name, WORKERS.retention).read_back()] == []


@pytest.mark.parametrize("role", [Role.READER, Role.DOCTOR])
async def test_who_only_looks_publishes_nothing(open_as: OpenAs, role: Role) -> None:
    """A reader and a doctor cannot defer events."""
    assert await refused(open_as(role))


async def test_a_web_process_takes_nothing_and_reads_no_letters(open_as: OpenAs) -> None:
    """A web process can neither consume events, nor read the ledger, nor decide."""
    web = open_as(Role.WEB)
    with pytest.raises(BrokerRefused):
        await entries_of(web)
    with pytest.raises(BridgeError):
        async with web.ledger().deciding():
            pytest.fail("a web process decides")


async def test_a_reader_reads_the_history_and_asks_the_workers(open_as: OpenAs) -> None:
    """A worker's user writes the history and the log of the workers; a reader reads both, and its question reaches the
    workers."""
    worker, reader = open_as(Role.WORKER), open_as(Role.READER)
    retention = HistorySettings().retention()
    assert retention is not None
    await worker.log(HISTORY, retention).append({"n": 1})
    await worker.log(WORKERS.name, WORKERS.retention).append({"n": 2})

    async def answer(question: Content) -> Content:
        return question

    async with worker.broadcast("status").listen(answer):
        answers = await eventually(lambda: reader.broadcast("status").ask_all({"n": 3}, 1.0), bool)

    assert [record.content["n"] async for record in reader.log(HISTORY, retention).read_back()] == [1]
    assert [record.content["n"] async for record in reader.log(WORKERS.name, WORKERS.retention).read_back()] == [2]
    assert answers == [{"n": 3}]


async def test_a_decider_decides_about_groups_and_holds_claims(open_as: OpenAs) -> None:
    """A decider writes the logs of groups and plans, which a reader reads; it reads the history, and holds a claim."""
    worker, decider, reader = map(open_as, (Role.WORKER, Role.DECIDER, Role.READER))
    retention = HistorySettings().retention()
    assert retention is not None
    await worker.log(HISTORY, retention).append({"n": 1})

    async with decider.claim("plan-1"):
        for log in (FAILURES, PLANS):
            await decider.log(log.name, log.retention).append({"n": 2})

    assert [record.content["n"] async for record in decider.log(HISTORY, retention).read()] == [1]
    assert await decider.broadcast("status").ask_all({"n": 3}, 0.1) == []
    for log in (FAILURES, PLANS):
        for broker in (decider, reader):
            assert [each.content["n"] async for each in broker.log(log.name, log.retention).read()] == [2]


async def test_a_reader_decides_nothing(open_as: OpenAs) -> None:
    """A reader cannot get the right to decide."""
    with pytest.raises(BrokerRefused):
        async with open_as(Role.READER).ledger().deciding():
            pytest.fail("a reader decides")


async def about(site: SiteOnBroker, url: str, subject: str, management: str | None = None) -> list[Finding]:
    """Return the doctor's findings about a subject, as this user."""
    found = await inspect(SiteOnBroker(url, NAMESPACE, QUEUES, site.declares, management))
    return [each for each in found.findings if each.subject == subject]


async def test_the_doctor_as_worker_and_its_own_user(managed: ManagedNode, site: SiteOnBroker) -> None:
    """With the user of a worker, and the doctor's for the management, nothing about rights is wrong or unknown."""
    worker, doctor = make_user(managed, site, Role.WORKER), f"{NAMESPACE}-{Role.DOCTOR}"
    make_user(managed, site, Role.DOCTOR)
    management = f"http://{doctor}:{doctor}@127.0.0.1:{managed.port}"

    examination = await inspect(SiteOnBroker(worker, NAMESPACE, QUEUES, False, management))

    said = {each.subject: each for each in examination.findings if each.state is not FindingState.OK}
    assert said.keys() <= {"consumers"}
    (found,) = [each for each in examination.findings if each.subject == "rights"]
    assert found.sentence == "user 'roles-worker' has none beyond the namespace"


@pytest.mark.parametrize(
    ("may", "said"),
    [
        ((".*", ".*", ".*"), "may configure, write, read objects of other namespaces; to write to amq.default is"),
        (
            ("^$", r"^roles\.|^amq\.default$", r"^roles\."),
            "may write objects of other namespaces; to write to amq.defa",
        ),
        (("^$", r"^roles\.", ".*"), "may read objects of other namespaces"),
        ((r"^roles\.", r"^roles\.", r"^roles\."), "may configure the site's objects, although declare = false"),
    ],
)
async def test_rights_beyond_the_role(
    managed: ManagedNode, site: SiteOnBroker, may: tuple[str, str, str], said: str
) -> None:
    """A right outside the namespace is wrong, and so is the right to declare what an administrator imports."""
    url = managed.add_user("wide", *may, vhost=vhost(site))

    (found,) = await about(site, url, "rights")

    assert found.state is FindingState.WRONG
    assert found.sentence.startswith(f"user 'wide' {said}")
    assert found.next_step == "give each program the user of its role: bridge-doctor --permissions worker"


async def test_a_user_without_any_rights(open_as: OpenAs) -> None:
    """The doctor's user reaches the broker and is refused everything."""
    broker = open_as(Role.DOCTOR)
    with pytest.raises((BrokerRefused, BrokerUnavailable)):
        await entries_of(broker)
