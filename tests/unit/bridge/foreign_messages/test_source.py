"""What older bridges ask for, in their own formats, byte for byte as their sources write it, and hostile messages."""

import base64
import json
from contextlib import suppress
from datetime import UTC, datetime
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as some

from bridge.foreign_messages.source import ForeignSource, Format
from bridge.foreign_messages.target import Target

SCRIPT = "/srv/shop/dispatch.php"
NOW = datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC)
FERVO = (
    "php_bin: /usr/bin/php\nconsole_path: /srv/console\n"
    f"dispatch_path: {SCRIPT}\nfastcgi_host: localhost\nfastcgi_port: 9000\n\nTzo4OiI+Lw=="
)
MQ2PHP = json.dumps(
    {
        "headers": [
            {"key": "fastcgi_host", "value": "localhost"},
            {"key": "fastcgi_port", "value": 9000},
            {"key": "dispatch_path", "value": SCRIPT},
        ],
        "body": "opaque \u00e9 \ud83d\ude00 \x00",
    }
)
ORDINARY = {"REQUEST_METHOD": "POST", "CONTENT_TYPE": "text/plain", "CONTENT_LENGTH": "1", "BRIDGE_ATTEMPT": "1"}


def source(form: Format, *targets: Target) -> ForeignSource:
    """A queue of an older bridge."""
    return ForeignSource("asynchronous_events", form, "legacy.event", targets or (Target(SCRIPT),), errors=True)


def form_of(body: bytes) -> str:
    """The field DEFERRED_DATA of a form."""
    (value,) = parse_qs(body.decode("ascii"), strict_parsing=True, keep_blank_values=True)["DEFERRED_DATA"]
    return value


def test_fervos_event_is_a_parameter_and_a_field() -> None:
    """The base64 is unchanged; a + is escaped in the form."""
    parameters, body = source("fervo").request(ORDINARY, FERVO.encode())

    assert parameters["DEFERRED_DATA"] == form_of(body) == "Tzo4OiI+Lw=="
    assert b"+" not in body
    assert parameters["SCRIPT_FILENAME"] == SCRIPT
    assert parameters["CONTENT_TYPE"] == "application/x-www-form-urlencoded"
    assert parameters["CONTENT_LENGTH"] == str(len(body))
    assert parameters["BRIDGE_ATTEMPT"] == "1"


def test_fervos_keys_are_read_as_its_worker_reads_them() -> None:
    """Keys in any case, values trimmed, lines ended by CRLF too are no target of another kind."""
    message = f"Dispatch_Path:   {SCRIPT}  \nfastcgi_host: localhost\nfastcgi_port:9000\n\nQUJD\n"

    parameters, _ = source("fervo", Target(SCRIPT, "localhost:9000")).request(ORDINARY, message.encode())

    assert parameters["DEFERRED_DATA"] == "QUJD"


def test_mq2phps_message_has_its_queue() -> None:
    """Body and other headers are unchanged."""
    _, body = source("mq2php").request(ORDINARY, MQ2PHP.encode())

    sent, message = json.loads(form_of(body)), json.loads(MQ2PHP)
    assert sent["body"] == message["body"]
    assert sent["headers"] == [*message["headers"], {"key": "queue_name", "value": "asynchronous_events"}]


@pytest.mark.parametrize(("form", "message"), [("fervo", FERVO), ("mq2php", MQ2PHP)])
@pytest.mark.parametrize(
    "targets",
    [
        (Target("/srv/shop/other.php"),),
        (Target(SCRIPT, "localhost:9001"),),
        (Target(SCRIPT + "/"), Target(SCRIPT.upper()), Target("/srv/shop")),
    ],
    ids=["another script", "another address", "nearly"],
)
def test_only_targets_of_the_settings_are_asked(form: Format, message: str, targets: tuple[Target, ...]) -> None:
    """Whatever the message says."""
    with pytest.raises(ValueError, match=r"is not among foreign\.targets"):
        source(form, *targets).request(ORDINARY, message.encode())


def test_fervos_failure_has_a_line_more() -> None:
    """In its text are neither colons nor ends of lines."""
    failed = source("fervo").failure(FERVO.encode(), "PDO: gone\r\nat: line 7", NOW).decode()

    head, _, body = FERVO.partition("\n\n")
    assert failed == f"{head}\nerror: PDO= gone #>  #> at= line 7\n\n{body}"


def test_mq2phps_failure_has_headers_more() -> None:
    """As its consumer of errors reads them; the port is a text."""
    failed = json.loads(source("mq2php").failure(MQ2PHP.encode(), "no luck", NOW))

    assert failed["body"] == json.loads(MQ2PHP)["body"]
    assert {each["key"]: each["value"] for each in failed["headers"]} == {
        "fastcgi_host": "localhost",
        "fastcgi_port": "9000",
        "dispatch_path": SCRIPT,
        "queue_name": "asynchronous_events",
        "error_date": "2031-02-03 04:05:06",
        "error": "no luck",
    }


def test_a_failure_that_failed_before_has_the_last_error() -> None:
    """A message that somebody has put back from the queue of errors does not grow."""
    first = source("mq2php").failure(MQ2PHP.encode(), "one", NOW)
    second = json.loads(source("mq2php").failure(first, "two", NOW))

    assert [each["value"] for each in second["headers"] if each["key"] == "error"] == ["two"]


def test_a_program_of_amqp_cgi_bridge_gets_body_properties_and_headers() -> None:
    """The body byte for byte; headers cannot take the place of other parameters."""
    bridge = ForeignSource("jobs", "amqp-cgi-bridge", "legacy.job")
    properties = {"content_type": "image/png", "message_id": "m-1", "routing_key": "a.b", "redelivered": False}
    headers = {"x-Tenant": "Grüße", "n": 7, "HTTP_PROXY": "evil", "raw": b"\xff", "deep": {"a": [None, True]}}

    parameters, body = bridge.request(ORDINARY, bridge.data(properties, headers, b"\x89PNG\r\n\x00"))

    assert body == b"\x89PNG\r\n\x00"
    assert parameters == {
        **ORDINARY,
        "CONTENT_TYPE": "image/png",
        "CONTENT_LENGTH": "7",
        "REQUEST_URI": "/",
        "MESSAGE_ID": "m-1",
        "ROUTING_KEY": "a.b",
        "REDELIVERED": "false",
        "AMQP_X_TENANT": "Grüße",
        "AMQP_N": "7",
        "AMQP_HTTP_PROXY": "evil",
        "AMQP_RAW": "\\xff",
        "AMQP_DEEP": '{"a": [null, true]}',
    }


def test_a_header_that_json_cannot_hold_loses_no_message() -> None:
    """AMQP allows tables that are nested thousands deep; the text says so instead."""
    nested: dict[str, object] = {}
    for _ in range(100_000):
        nested = {"a": nested}
    bridge = ForeignSource("jobs", "amqp-cgi-bridge", "legacy.job")

    parameters, body = bridge.request(ORDINARY, bridge.data({}, {"deep": nested, "fine": 1}, b"body"))

    assert (body, parameters["AMQP_FINE"]) == (b"body", "1")
    assert parameters["AMQP_DEEP"] == "(a value that cannot be written: RecursionError)"
    while nested:  # taken apart here, because the interpreter would do it by recursion
        nested = nested["a"]  # type: ignore[assignment]


HOSTILE = [
    *(b"", b"\n\n", b"\xff\xfe\n\n", b"{}", b"null", b"[]", b'{"headers": {}}', b'{"headers": [1], "body": ""}'),
    *(b'{"headers": [{"key": 1, "value": 2}]}', b"[" * 100_000, b'{"headers": [{"key": "dispatch_path"}]}'),
    *(b"dispatch_path:\n\nQUJD", b"no colon\n\n", b'{"headers": [], "body": 1e999}'),
]


@pytest.mark.parametrize("form", ["fervo", "mq2php", "amqp-cgi-bridge"])
@pytest.mark.parametrize("data", HOSTILE)
def test_what_no_older_bridge_wrote_is_refused(form: Format, data: bytes) -> None:
    """With a `ValueError`, which makes it a dead letter; as a failure it is unchanged, or has the error."""
    with pytest.raises(ValueError, match=r"."):
        source(form).request(ORDINARY, data)
    if form != "amqp-cgi-bridge":
        assert isinstance(source(form).failure(data, "why", NOW), bytes)


@given(some.binary(max_size=300), some.text(max_size=50))
def test_any_bytes_are_a_request_or_refused(data: bytes, error: str) -> None:
    """Nothing else is raised."""
    for form in ("fervo", "mq2php"):
        with suppress(ValueError):
            source(form).request(ORDINARY, data)
        source(form).failure(data, error, NOW)


@given(some.binary(max_size=3000))
def test_every_event_of_fervo_arrives(event: bytes) -> None:
    """Whatever PHP has serialised."""
    text = base64.b64encode(event).decode()
    _, body = source("fervo").request(ORDINARY, FERVO.replace("Tzo4OiI+Lw==", text).encode())
    assert form_of(body) == text
