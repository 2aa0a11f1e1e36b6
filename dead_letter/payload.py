"""An event's data as a person or a program can read them. They may be anything: JSON, text, or bytes of no kind."""

import base64
import codecs
import json
from typing import Any

from bridge.event import Event

SHOWN = 16 * 1024
"""Bytes of text that a page shows at most; `--body` writes all."""

HEX_SHOWN = 512


def data_to_json(event: Event) -> dict[str, Any]:
    """Return the data as `data` where they are JSON, else as `data_base64`: as the JSON format of CloudEvents does."""
    if event.content_type.partition(";")[0].strip().lower().endswith(("/json", "+json")):
        try:
            value = json.loads(event.data)
            json.dumps(value, allow_nan=False)  # NaN, which Python reads, is no JSON
        except (ValueError, RecursionError):
            pass  # it says that it is JSON, and is not: shown as what it is
        else:
            return {"data": value}
    return {"data_base64": base64.b64encode(event.data).decode()}


def preview(event: Event) -> tuple[str, bool]:
    """Return the data for people, and whether that is all: JSON indented, text as it is, anything else as hex."""
    value = data_to_json(event)
    if "data" in value:
        text = json.dumps(value["data"], indent=2, ensure_ascii=False)
        return text[:SHOWN], len(text) <= SHOWN
    try:
        whole = len(event.data) <= SHOWN
        text = codecs.getincrementaldecoder("utf-8")().decode(event.data[:SHOWN], final=whole)
    except UnicodeDecodeError:
        return _hex(event.data[:HEX_SHOWN]), len(event.data) <= HEX_SHOWN
    return text, whole


def _hex(data: bytes) -> str:
    rows = ((start, data[start : start + 16]) for start in range(0, len(data), 16))
    return "\n".join(f"{start:06x}  {row.hex(' '):47}  {_printable(row)}" for start, row in rows)


def _printable(row: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
