"""The import rules: the sources keep them, and each rule finds a breach."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pytest

from tests.unit.import_rules import breaches

ROOT = Path(__file__).parents[2]


def test_the_sources_keep_the_import_rules() -> None:
    """The packages contain no forbidden import and no import circle."""
    assert breaches(ROOT) == []


FORGERIES = [
    ("bridge/event.py", "import worker.slots.slots", "bridge may import bridge only"),
    (
        "worker/events/replay.py",
        "from app_adapter.receiver import Receiver",
        "worker may import bridge, worker only",
    ),
    ("dead_letter/cli.py", "def f():\n    import worker", "dead_letter may import bridge, dead_letter only"),
    ("deferred_event_bridge/__init__.py", "from bridge.event import Event", "may import app_adapter, bridge.errors"),
    ("deferred_event_bridge/dashboard/acts.py", "import worker.events.replay", "may import app_adapter, bridge, dead"),
    ("app_adapter/extension.py", "def f():\n    import deferred_event_bridge.dashboard", "app_adapter may import"),
    ("bridge/fastcgi/records.py", "from bridge import errors", "imports nothing outside itself"),
    ("bridge/fastcgi/records.py", "from ..errors import BridgeError", "imports nothing outside itself"),
    ("bridge/brokers/rabbitmq/logs/x.py", "import bridge.brokers.sqlite.queues.row", "one broker imports nothing"),
    ("bridge/brokers/sqlite/broker.py", "from ..rabbitmq import broker", "one broker imports nothing of another"),
    ("bridge/brokers/rabbitmq/connection/link.py", "from ..topology import names", "imports nothing of topology"),
    ("bridge/brokers/rabbitmq/publishing/a.py", "import bridge.brokers.rabbitmq.consuming.b", "nothing of consuming"),
    ("bridge/brokers/rabbitmq/consuming/a.py", "def f():\n    from ..logs import ledger", "imports nothing of logs"),
    ("bridge/brokers/rabbitmq/coordination/a.py", "from ..logs.ledger import X", "imports nothing of logs"),
    ("bridge/brokers/rabbitmq/logs/a.py", "import bridge.brokers.rabbitmq.broker", "imports nothing of broker"),
    ("bridge/brokers/rabbitmq/broker.py", "from .inspection.probe import Probe", "imports nothing of inspection"),
    ("bridge/brokers/sqlite/queues/row.py", "import bridge.brokers.sqlite.logs.ledger", "imports nothing of logs"),
    ("bridge/local_database/database.py", "import bridge.brokers.contract.broker", "imports nothing of brokers"),
    ("bridge/brokers/any_broker/record_log.py", "import bridge.brokers.sqlite.logs.log", "imports nothing of sqlite"),
    ("bridge/brokers/contract/logs.py", "import bridge.brokers.any_broker.record_log", "imports nothing of any_broker"),
    ("bridge/brokers/opening.py", "import bridge.publishing.relay", "imports nothing of publishing"),
    ("worker/pool/operator.py", "import worker.control.status", "imports nothing of control"),
    ("worker/pool/front/children.py", "from worker.pool_service import serve", "imports nothing of pool_service"),
    ("worker/control/status.py", "from worker.slots.slots import Slots", "imports nothing of slots"),
    ("worker/control/status.py", "from ..events import gate", "imports nothing of events"),
    ("worker/slots/child_slots.py", "import worker.events.consumer", "imports nothing of events"),
    ("worker/slots/child_slots.py", "import worker.control.status", "slots import nothing of control"),
    ("worker/events/consumer.py", "import worker.service", "imports nothing of service"),
    ("bridge/brokers/sqlite/logs/ledger.py", "import aio_pika.abc", "only bridge/brokers/rabbitmq/* may"),
    ("bridge/publishing/spool/summary.py", "import sqlite3", "only bridge/local_database/*, bridge/brokers/sqlite/*"),
    ("bridge/brokers/rabbitmq/logs/local_index.py", "def f():\n    import sqlite3", "only bridge/local_database/*"),
    ("app_adapter/receiver.py", "from flup.server import fcgi", "only app_adapter/flup_*.py may"),
    ("worker/cli.py", "import flask", "only app_adapter/*, deferred_event_bridge/dashboard/* may"),
    ("app_adapter/signals.py", "import sqlalchemy.orm", "only app_adapter/sqlalchemy/*"),
    ("worker/service.py", "import prometheus_client", "only bridge/watchers/* may"),
    ("worker/events/replay.py", "from tenacity import retry", "only bridge/retry_policy.py"),
    ("bridge/settlement.py", "from time import monotonic", "the file is pure"),
    ("bridge/status.py", "import os", "the file is pure"),
    ("bridge/fastcgi/connection.py", "import asyncio", "the file is pure"),
    ("bridge/ledger.py", "from os import path", "the file is pure"),
    ("bridge/attempt.py", "import datetime as d\nstarted = d.datetime.now()", "reads the clock"),
    ("worker/pool/child.py", "from bridge.event import Event", "the pool imports nothing about events"),
    ("worker/pool/supervisor.py", "import bridge.brokers.opening", "the pool imports nothing about events"),
]


@pytest.mark.parametrize(("file", "source", "complaint"), FORGERIES)
def test_a_breach_is_found(tmp_path: Path, file: str, source: str, complaint: str) -> None:
    """Each rule finds an import that breaks it, and names the file and the line."""
    write(tmp_path, {file: source})

    found = breaches(tmp_path)

    assert len(found) == 1
    assert found[0].startswith(f"{file}:")
    assert complaint in found[0]


CIRCLES = [
    ({"bridge/a.py": "import bridge.b", "bridge/b.py": "from bridge import a"}, {"bridge.a", "bridge.b"}),
    (
        {"worker/a.py": "from .b import x", "worker/b.py": "from . import c", "worker/c.py": "import worker.a"},
        {"worker.a", "worker.b", "worker.c"},
    ),
    (
        {"bridge/__init__.py": "from bridge.a import x", "bridge/a.py": "from bridge import y"},
        {"bridge", "bridge.a"},
    ),
    (
        {
            "bridge/a.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import bridge.b",
            "bridge/b.py": "import bridge.a",
        },
        {"bridge.a", "bridge.b"},
    ),
]


@pytest.mark.parametrize(("files", "modules"), CIRCLES)
def test_an_import_circle_is_found(tmp_path: Path, files: Mapping[str, str], modules: set[str]) -> None:
    """An import circle is reported with all its modules, in the order of the imports."""
    write(tmp_path, files)

    (found,) = breaches(tmp_path)

    names = found.removeprefix("import circle: ").split(" > ")
    assert set(names) == modules
    assert names[0] == names[-1]
    for importing, imported in pairwise(names):
        path = tmp_path / f"{importing.replace('.', '/')}.py"
        source = path.read_text() if path.exists() else (tmp_path / "bridge/__init__.py").read_text()
        assert imported.split(".")[-1] in source


ALLOWED = [
    {"bridge/brokers/rabbitmq/connection/connecting.py": "import aio_pika, asyncio\nfrom tenacity import wait_random"},
    {"bridge/brokers/sqlite/logs/ledger.py": "import sqlite3\nfrom ..queues import rows\nfrom bridge.ledger import X"},
    {"bridge/brokers/rabbitmq/inspection/probe.py": "from ..broker import X\nfrom ..consuming import frames"},
    {"bridge/brokers/opening.py": "from bridge.brokers.rabbitmq.broker import RabbitBroker"},
    {"bridge/config/settings.py": "import os"},
    {"bridge/fastcgi/connection.py": "from bridge.fastcgi.records import Record\nfrom .states import State"},
    {"app_adapter/flup_request.py": "import flask\nfrom flup.server.fcgi import X\nfrom app_adapter.receiver import Y"},
    {"worker/pool/supervisor.py": "import asyncio\nfrom bridge.errors import BridgeError\nfrom .child import Child"},
    {"worker/service.py": "from worker.pool import supervisor\nfrom worker.events.consumer import X"},
    {"worker/pool_service.py": "from worker.pool.front import children\nfrom worker.control import control_socket"},
    {"deferred_event_bridge/__init__.py": "from app_adapter import defer\nfrom bridge.errors import DeferError"},
    {"deferred_event_bridge/dashboard/acts.py": "import flask, dead_letter\nfrom worker.operating import x"},
    {"app_adapter/__init__.py": "from deferred_event_bridge.hidden_packages import check"},
    {"bridge/a.py": "def f():\n    import bridge.b", "bridge/b.py": "import bridge.a"},
    {"bridge/__init__.py": "from bridge.a import x", "bridge/a.py": "from bridge.b import x", "bridge/b.py": "x = 1"},
]


@pytest.mark.parametrize("files", ALLOWED, ids=lambda files: next(iter(files)))
def test_an_allowed_import_is_no_breach(tmp_path: Path, files: Mapping[str, str]) -> None:
    """Imports that the design allows are not reported."""
    write(tmp_path, files)

    assert breaches(tmp_path) == []


def write(root: Path, files: Mapping[str, str]) -> None:
    for file, source in files.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(source)
