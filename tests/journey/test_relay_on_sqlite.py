"""`bridge-relay` where SQLite is the broker: it relays an outbox, and may be the one that makes the file."""

import os
import stat

from tests.journey.site import Site


async def test_the_file_that_the_relay_makes_is_for_the_group(here: Site) -> None:
    """With `file_group`, as the file of the app and of the worker: another user of the group can use it."""
    here.configure(f'file_group = "{os.getegid()}"\n[stores.shop]\nurl = "sqlite:///shop.db"\n')

    relay = here.run("bridge-relay")
    await relay.says("relaying the events of the outbox")  # it has asked the broker before

    assert stat.S_IMODE((here.directory / "bridge.db").stat().st_mode) == 0o660
