"""A child's boot when the system has no descriptors left. Boots that succeed are tested with the real programs."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from worker.pool.child import boot
from worker.pool.process import BootFailed, Execution, Launch


@contextmanager
def descriptors_used_up() -> Iterator[None]:
    """Prevent this process from opening any file while the context is entered."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def test_without_descriptors_a_boot_fails_as_any_other() -> None:
    """The boot can be tried again, because the failure is a `BootFailed`."""
    starter = Execution(Launch("app_adapter.app_server", "shop:app", 1.0, {}))

    with descriptors_used_up(), pytest.raises(BootFailed, match="Too many open files"):
        await boot(starter, 1.0, lambda pid, line: None)
