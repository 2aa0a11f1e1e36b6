"""What an app writes to FastCGI's error stream: Flask's logger does, tracebacks included. It belongs in the log."""

from collections.abc import Mapping

from bridge.outcome import Exchange, NotTaken
from bridge.telemetry import log
from worker.pool.output import Lines


def tell_error_output(parameters: Mapping[str, str], exchange: Exchange) -> None:
    """Log it, a line a record, with the event that was replayed; of a long one its beginning and its end."""
    if isinstance(exchange, NotTaken) or not exchange.error_output:
        return
    about = {"event": parameters.get("HTTP_CE_TYPE", ""), "id": parameters.get("HTTP_CE_ID", "")}
    for line in Lines().add(exchange.error_output.rstrip(b"\n") + b"\n"):
        log.info("%s", line, extra=about)
