"""What the programs write to their log."""

import io
import logging
from collections.abc import Iterator

import pytest

from bridge.telemetry import configure_logging


@pytest.fixture(autouse=True)
def loggers() -> Iterator[None]:
    """The loggers as they were, afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    others = {name: logging.getLogger(name).level for name in ("bridge", "aiormq", "aio_pika")}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in others.items():
        logging.getLogger(name).setLevel(before)


def test_the_broker_library_is_silent() -> None:
    """It repeats every attempt to connect; the bridge says once that it is away, and once that it is back."""
    stream = io.StringIO()
    configure_logging("text", stream)
    logging.getLogger("aiormq.connection").error("error when creating transport")
    logging.getLogger("aio_pika.queue").warning("whatever")
    logging.getLogger("bridge.brokers").warning("RabbitMQ is lost")
    assert stream.getvalue().count("\n") == 1
    assert "RabbitMQ is lost" in stream.getvalue()


def test_a_record_cannot_pass_for_another() -> None:
    """What an app puts into its exceptions is shown; it commands no terminal, and begins no line of the log."""
    stream = io.StringIO()
    configure_logging("text", stream)
    forged = "\x1b[2J\r\n12:00:00 INFO    all is well"
    log = logging.getLogger("bridge")

    log.error("failed: %s", forged, extra={"hook": forged}, exc_info=ValueError(forged))

    first, *others = stream.getvalue().splitlines()
    assert first.endswith("failed: \\x1b[2J\\r")
    assert all(line.startswith("    ") for line in others)
    assert "hook=\\x1b[2J\\r\\n12:00:00" in others[0]
    assert others[1] == "    ValueError: \\x1b[2J\\r"
    assert "\x1b" not in stream.getvalue()
