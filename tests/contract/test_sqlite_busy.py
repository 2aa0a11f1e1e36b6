"""A busy file is the reason that a program gives, while it still waits for the file."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from bridge.brokers.sqlite.broker import SqliteBroker
from bridge.queues import Queue


async def test_a_busy_file_is_the_trouble(tmp_path: Path) -> None:
    """The broker knows it before the declaration ends, and forgets it afterwards."""
    path = tmp_path / "events.db"
    broker = SqliteBroker(path, "bridge")
    await broker.declare([Queue("default")])
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        declaring = asyncio.create_task(broker.declare([Queue("mail", ("mail.#",))]))
        while not broker.trouble:
            await asyncio.sleep(0.01)
        assert broker.trouble == "another process keeps the file busy"
        assert not declaring.done()
        other.execute("COMMIT")

    await declaring

    assert broker.trouble == ""
    await broker.close()
