"""The stages that there are, by name, and what stands under them: started once, used for one ordeal after another."""

import random
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.faults.stage import Stage
from tests.journey.site import Site
from tests.rabbitmq_node import RabbitNode


class Stages:
    """Makes stages. What a broker needs is started at the first ordeal on it, and ends with this."""

    def __init__(self, hold: float, seed: int) -> None:
        self._hold = hold
        self._seed = seed
        self._under = ExitStack()
        self._node: RabbitNode | None = None

    def __enter__(self) -> "Stages":
        return self

    def __exit__(self, *_: object) -> None:
        self._under.close()

    @contextmanager
    def stage(self, name: str) -> Iterator[Stage]:
        """Make the stage of this name, and remove it at the end."""
        # Not pytest's tmp_path: the path of a control socket must be short.
        directory = Path(tempfile.mkdtemp(prefix="bridge-faults-"))
        site, under = getattr(self, f"_{name}")(directory)
        stage = Stage(site, hold=self._hold, dice=random.Random(self._seed), **under)
        try:
            yield stage
        finally:
            stage.close()
            site.remove()

    def _sqlite(self, directory: Path) -> tuple[Site, dict[str, Any]]:
        return Site(directory, f"sqlite:///{directory}/bridge.db", "bridge"), {}

    def _rabbitmq(self, directory: Path) -> tuple[Site, dict[str, Any]]:
        if self._node is None:
            self._node = self._under.enter_context(RabbitNode())
        return Site(directory, self._node.url, f"f{uuid.uuid4().hex[:10]}"), {"node": self._node}
