"""The logging setup of the programs: records go to standard error, as text for people or as JSON lines for programs."""

import logging
import sys
from datetime import UTC, datetime
from typing import Literal, TextIO, get_args

from bridge.console.printable import json_text, printable

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]
LOG_FORMATS: tuple[str, ...] = get_args(LogFormat)
LOG_LEVELS: tuple[str, ...] = get_args(LogLevel)


def configure_logging(form: LogFormat, level: LogLevel = "info", stream: TextIO | None = None) -> None:
    """Write records of this level and above to a stream, by default standard error. Records of other libraries are
    written at warning and above."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Text("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
    lowest = logging.getLevelNamesMapping()[level.upper()]
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.WARNING, lowest))
    logging.getLogger("bridge").setLevel(lowest)
    for library in ("aiormq", "aio_pika"):  # they log every attempt to reconnect; the bridge logs an outage once
        logging.getLogger(library).setLevel(logging.CRITICAL)


_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def _details(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def _traceback(record: logging.LogRecord) -> str | None:
    """Return the traceback of the record's exception, which may come as text from another process; None without one."""
    return logging.Formatter().formatException(record.exc_info) if record.exc_info else record.exc_text


class _Text(logging.Formatter):
    """The message, then the details as `key=value`. Control characters are escaped and the further lines of a record
    are indented, so that the texts of an app or a broker cannot control a terminal or imitate a record."""

    def format(self, record: logging.LogRecord) -> str:
        record.message = record.getMessage()
        record.asctime = self.formatTime(record, self.datefmt)
        details = " ".join(f"{key}={printable(str(value))}" for key, value in _details(record).items())
        line = self.formatMessage(record)
        parts = [f"{line}  {details}" if details else line, _traceback(record)]
        return "\n    ".join(printable(each) for each in "\n".join(filter(None, parts)).split("\n"))


class _Json(logging.Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `message`, the details, and `traceback` if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_details(record),
        }
        if (traceback := _traceback(record)) is not None:
            fields["traceback"] = traceback
        return json_text(fields)
