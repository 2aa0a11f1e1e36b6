"""What the programs tell: log lines for people or for machines, and hooks that hear of every settlement.

Hooks watch; they never decide. A hook gets a frozen record after the settlement, and its failure changes nothing but
the log.
"""

import json
import logging
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TextIO

from bridge.envelope import Envelope
from bridge.outcome import Settleable
from bridge.settlement import Settlement

LogFormat = Literal["text", "json"]

log = logging.getLogger("bridge")


@dataclass(frozen=True, slots=True)
class Settled:
    """One replay, after its settlement: `seconds` is how long the replay took, `envelope` is as it was replayed."""

    envelope: Envelope
    queue: str
    outcome: Settleable
    settlement: Settlement
    seconds: float


Hook = Callable[[Settled], None]


def tell(hooks: Iterable[Hook], settled: Settled) -> None:
    """Let every hook hear of a settlement."""
    for hook in hooks:
        try:
            hook(settled)
        except Exception:  # a hook is a stranger's code
            log.exception("a hook failed; the event's fate stands", extra={"hook": repr(hook)})


def configure_logging(form: LogFormat, stream: TextIO = sys.stderr) -> None:
    """Write the log to a stream, a line a record: for people, or as JSON for machines."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Json() if form == "json" else _Text("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    log.setLevel(logging.INFO)
    for engine in ("aiormq", "aio_pika"):  # they tell of every attempt to connect again; we tell once
        logging.getLogger(engine).setLevel(logging.CRITICAL)


_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def _details(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


class _Text(logging.Formatter):
    """The sentence, then the details as `key=value`. What an app or a broker put into either cannot pass for a line of
    ours or command a terminal: it is escaped, and the further lines of one record are indented."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        details = " ".join(f"{key}={_escaped(str(value))}" for key, value in _details(record).items())
        line = super().formatMessage(record)
        return f"{line}  {details}" if details else line

    def format(self, record: logging.LogRecord) -> str:
        return "\n    ".join(map(_escaped, super().format(record).split("\n")))


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


class _Json(logging.Formatter):
    """One object a line: `time`, `level`, `message`, the details, and `traceback` where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_details(record),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str)
