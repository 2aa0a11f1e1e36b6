"""RabbitMQ over TLS: a node that asks for a certificate, signed by an authority of the test's own."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bridge.brokers.contract.findings import FindingState
from bridge.brokers.contract.inspection import SiteOnBroker
from bridge.brokers.contract.tls import Tls
from bridge.brokers.opening import inspect, open_broker
from bridge.brokers.rabbitmq.broker import RabbitBroker
from bridge.config.settings import load_settings
from bridge.errors import BrokerUnavailable, SettingsError
from bridge.queues import Queue
from tests.certificates import Authority, Certificate
from tests.contract.acts import an_event, consuming, take
from tests.deadlines import within
from tests.limits import PATIENCE
from tests.ports import free_ports
from tests.rabbitmq_node import RabbitNode

pytestmark = pytest.mark.rabbitmq

QUEUES = (Queue("default"),)


@dataclass(frozen=True)
class Secured:
    """A node that listens with TLS, with the files of its clients."""

    authority: Authority
    client: Certificate
    stranger: Authority
    port: int
    management_port: int

    @property
    def tls(self) -> Tls:
        """The settings of a client that is welcome."""
        return Tls(str(self.authority.file), str(self.client.cert), str(self.client.key))

    @property
    def url(self) -> str:
        """The URL of the node."""
        return f"amqps://guest:guest@localhost:{self.port}/"

    @property
    def management_url(self) -> str:
        """The URL of its management."""
        return f"https://guest:guest@localhost:{self.management_port}"

    @property
    def query(self) -> str:
        """The same settings as parameters of a URL."""
        return f"cafile={self.authority.file}&certfile={self.client.cert}&keyfile={self.client.key}"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A node that asks for its clients' certificates, and a management with TLS."""
    folder = tmp_path_factory.mktemp("tls")
    authority, stranger = Authority(folder, "authority"), Authority(folder, "stranger")
    server, client = authority.sign("server", "DNS:localhost"), authority.sign("client")
    port, management_port = free_ports(2)
    node = RabbitNode()
    files = (f"cacertfile = {authority.file}", f"certfile = {server.cert}", f"keyfile = {server.key}")
    (node.directory / "enabled_plugins").write_text("[rabbitmq_management].")
    lines = [
        f"listeners.ssl.1 = 127.0.0.1:{port}",
        *(f"ssl_options.{line}" for line in (*files, "verify = verify_peer", "fail_if_no_peer_cert = true")),
        "management.ssl.ip = 127.0.0.1",
        *(f"management.ssl.{line}" for line in (f"port = {management_port}", *files)),
    ]
    (node.directory / "rabbitmq.conf").write_text("\n".join([*lines, ""]))
    with node:
        yield Secured(authority, client, stranger, port, management_port)


async def journey(broker: RabbitBroker) -> None:
    """Declare, publish and take an event, and remove everything."""
    try:
        await broker.declare(QUEUES)
        await broker.publisher().publish(an_event("order.paid"), deadline=within(PATIENCE))
        delivery = await take(await consuming(broker, "default"))
        assert delivery.envelope.event.name == "order.paid"
        await delivery.ack()
        await broker.remove(QUEUES)
    finally:
        await broker.close()


def namespace() -> str:
    """Return a namespace that no other test uses."""
    return f"t{uuid.uuid4().hex[:8]}"


async def test_by_settings(secured: Secured, tmp_path: Path) -> None:
    """The settings name files relative to `bridge.toml`."""
    for name, file in (("ca", secured.authority.file), ("cert", secured.client.cert), ("key", secured.client.key)):
        (tmp_path / f"{name}.pem").symlink_to(file)
    toml = tmp_path / "bridge.toml"
    toml.write_text(f"broker_url = '{secured.url}'\ntls_ca = 'ca.pem'\ntls_cert = 'cert.pem'\ntls_key = 'key.pem'\n")
    settings = load_settings(file=str(toml), environ={})

    broker = open_broker(settings.values.broker_url, namespace(), tls=settings.tls())

    assert isinstance(broker, RabbitBroker)
    await journey(broker)


async def test_by_the_url(secured: Secured) -> None:
    """The parameters of the URL do the same."""
    await journey(RabbitBroker.from_url(f"{secured.url}?{secured.query}&no_verify_ssl=false", namespace()))


NOT_ACCEPTED = "the certificate is not accepted"

UNTRUSTED: list[tuple[str, Callable[[Secured], Tls], str]] = [
    ("localhost", lambda to: replace(to.tls, ca=None), NOT_ACCEPTED),
    ("localhost", lambda to: replace(to.tls, ca=str(to.stranger.file)), NOT_ACCEPTED),
    ("127.0.0.1", lambda to: to.tls, "IP address mismatch"),
    ("localhost", lambda to: Tls(str(to.authority.file)), "tls_cert"),
]


@pytest.mark.parametrize(("host", "tls", "words"), UNTRUSTED)
async def test_who_is_not_trusted(secured: Secured, host: str, tls: Callable[[Secured], Tls], words: str) -> None:
    """A broker of another authority or host is refused, and so is a client without a certificate."""
    broker = RabbitBroker.from_url(secured.url.replace("localhost", host), namespace(), tls=tls(secured))

    with pytest.raises(BrokerUnavailable, match=words):
        await broker.declare(QUEUES)


@pytest.mark.parametrize("parameter", ["", "?no_verify_ssl=true"])
async def test_without_verification(secured: Secured, parameter: str) -> None:
    """A broker with any certificate is used if the settings or the URL say so."""
    tls = Tls(None, str(secured.client.cert), str(secured.client.key), verify=bool(parameter))

    await journey(RabbitBroker.from_url(secured.url + parameter, namespace(), tls=tls))


@pytest.mark.parametrize("management", ["trusted", "untrusted"])
async def test_the_doctor_uses_the_same_files(secured: Secured, management: str) -> None:
    """The management is asked over TLS with the same authority."""
    host = "localhost" if management == "trusted" else "127.0.0.1"
    site = SiteOnBroker(
        secured.url, namespace(), QUEUES, True, secured.management_url.replace("localhost", host), secured.tls
    )

    findings = {each.subject: each for each in (await inspect(site)).findings}

    assert findings["broker"].state is FindingState.OK
    if management == "trusted":
        assert "management" not in findings
    else:
        assert "IP address mismatch" in findings["management"].sentence


def wrong_files(secured: Secured) -> list[tuple[Tls, str]]:
    """Return settings that no connection can be made with, and the beginning of the error."""
    ca, cert, key = str(secured.authority.file), str(secured.client.cert), str(secured.client.key)
    return [
        (Tls("/nowhere/ca.pem"), "tls_ca = '/nowhere/ca.pem': expected .* No such file"),
        (Tls(key), f"tls_ca = '{key}': expected a file of certificates"),
        (Tls(ca, "/nowhere/cert.pem"), "tls_cert = '/nowhere/cert.pem'"),
        (Tls(ca, cert), f"tls_cert = '{cert}', tls_key = None: expected a certificate and its key"),
        (Tls(ca, cert, str(secured.authority.file.with_suffix(".key"))), "tls_key = .*authority.key"),
        (Tls(ca, None, key), f"tls_key = '{key}': expected tls_cert too"),
    ]


def test_files_that_cannot_be_used_are_wrong_settings(secured: Secured) -> None:
    """The error names the setting, the file and the reason, at the start."""
    for tls, words in wrong_files(secured):
        with pytest.raises(SettingsError, match=words):
            RabbitBroker.from_url(secured.url, "shop", tls=tls)
