"""The log of the programs."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from bridge.console.log_setup import LogFormat, LogLevel, configure_logging


@pytest.fixture(autouse=True)
def loggers() -> Iterator[None]:
    """Restore the loggers after the test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    others = {name: logging.getLogger(name).level for name in ("bridge", "bridge.events", "aiormq", "aio_pika")}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in others.items():
        logging.getLogger(name).setLevel(before)


def test_the_broker_library_is_silent() -> None:
    """Records of aiormq and aio-pika are not written, because the bridge itself logs the loss of a connection once."""
    stream = io.StringIO()
    configure_logging("text", stream=stream)
    logging.getLogger("aiormq.connection").error("error when creating transport")
    logging.getLogger("aio_pika.queue").warning("whatever")
    logging.getLogger("bridge.brokers").warning("RabbitMQ is lost")
    assert stream.getvalue().count("\n") == 1
    assert "RabbitMQ is lost" in stream.getvalue()


def test_a_record_cannot_pass_for_another() -> None:
    """The text of an app's exception is escaped and indented, so it cannot control a terminal or imitate a record."""
    stream = io.StringIO()
    configure_logging("text", stream=stream)
    forged = "\x1b[2J\r\n12:00:00 INFO    all is well"
    log = logging.getLogger("bridge")

    log.error("failed: %s", forged, extra={"hook": forged}, exc_info=ValueError(forged))

    first, *others = stream.getvalue().splitlines()
    assert first.endswith("failed: \\x1b[2J\\r")
    assert all(line.startswith("    ") for line in others)
    assert "hook=\\x1b[2J\\r\\n12:00:00" in others[0]
    assert others[1] == "    ValueError: \\x1b[2J\\r"
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize(
    ("level", "written"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_records_below_the_level_are_not_written(level: LogLevel, written: list[str]) -> None:
    """Records of the chosen level and above are written."""
    stream = io.StringIO()
    configure_logging("json", level, stream)

    for name in ("debug", "info", "warning", "error"):
        getattr(logging.getLogger("bridge.events"), name)(name)

    assert [json.loads(line)["level"] for line in stream.getvalue().splitlines()] == written


def test_other_libraries_are_written_from_warning_on() -> None:
    """The level `debug` does not apply to records of other libraries."""
    stream = io.StringIO()
    configure_logging("text", "debug", stream)

    logging.getLogger("asyncio").info("using a selector")

    assert stream.getvalue() == ""


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_traceback_of_another_process_is_part_of_the_record(form: LogFormat) -> None:
    """A record with a traceback from a child is written like a record with an exception of this process."""
    stream = io.StringIO()
    configure_logging(form, "info", stream)
    record = logging.makeLogRecord({"name": "bridge.events", "levelno": logging.ERROR, "levelname": "ERROR"})
    record.msg, record.exc_text = "dead letter", "Traceback …\nKeyError: 'id'"

    logging.getLogger("bridge.events").handle(record)

    text = stream.getvalue()
    if form == "json":
        assert json.loads(text)["traceback"] == "Traceback …\nKeyError: 'id'"
    else:
        assert text.endswith("dead letter\n    Traceback …\n    KeyError: 'id'\n")
