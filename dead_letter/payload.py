"""The data of an event in a readable form: JSON, text, or bytes of any kind."""

import base64
import codecs
import json
from typing import Any

from bridge.event import Event

SHOWN = 16 * 1024
"""Most bytes of text on a page; `--body` writes all."""

HEX_SHOWN = 512
"""Most bytes of a hex dump on a page."""


def data_to_json(event: Event) -> dict[str, Any]:
    """Return the data as `data` if they are JSON, else as `data_base64`, as in the JSON format of CloudEvents."""
    if event.content_type.partition(";")[0].strip().lower().endswith(("/json", "+json")):
        try:
            value = json.loads(event.data)
            json.dumps(value, allow_nan=False)  # Python decodes NaN, which is not JSON
        except (ValueError, RecursionError):
            pass  # the data are not the JSON that their content type claims
        else:
            return {"data": value}
    return {"data_base64": base64.b64encode(event.data).decode()}


def preview(event: Event) -> tuple[str, bool]:
    """Return the data for people, and True if they are complete: indented JSON, text, or a hex dump."""
    value = data_to_json(event)
    if "data" in value:
        text = json.dumps(value["data"], indent=2, ensure_ascii=False)
        return text[:SHOWN], len(text) <= SHOWN
    try:
        complete = len(event.data) <= SHOWN
        text = codecs.getincrementaldecoder("utf-8")().decode(event.data[:SHOWN], final=complete)
    except UnicodeDecodeError:
        return _hex(event.data[:HEX_SHOWN]), len(event.data) <= HEX_SHOWN
    return text, complete


def _hex(data: bytes) -> str:
    rows = ((start, data[start : start + 16]) for start in range(0, len(data), 16))
    return "\n".join(f"{start:06x}  {row.hex(' '):47}  {_printable(row)}" for start, row in rows)


def _printable(row: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
