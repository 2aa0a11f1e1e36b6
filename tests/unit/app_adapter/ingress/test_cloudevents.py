"""CloudEvents from their own SDK, in all modes, and what is said about wrong ones."""

import json
from typing import Any

import pytest
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

from app_adapter.testing import Recording
from tests.unit.app_adapter.ingress.ingress_site import IngressSite

PLAIN = {"specversion": "1.0", "id": "17", "source": "/shop/ä b", "type": "order.paid"}
JSON, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
DATA = [
    ({"datacontenttype": "application/json"}, {"a": [1, None, "ä"], "b": 1.5}),
    ({"datacontenttype": "application/vnd.shop+json"}, [1]),
    ({"datacontenttype": "text/plain"}, "ä\n"),
    ({"datacontenttype": "application/pdf"}, b"\x00\xff"),
]


def content(data: Any) -> bytes:
    """The bytes that an event with this data has."""
    if isinstance(data, str):
        return data.encode()
    return data if isinstance(data, bytes) else json.dumps(data).encode()


@pytest.mark.parametrize("to_message", [to_binary_event, to_structured_event])
@pytest.mark.parametrize(("attributes", "data"), DATA)
def test_an_event_of_the_sdk_comes_as_it_was_sent(
    site: IngressSite, deferred: Recording, to_message: Any, attributes: dict[str, str], data: Any
) -> None:
    """Name, source, id as the key, content type and data. The URL needs no name."""
    message = to_message(CloudEvent({**PLAIN, **attributes}, data))

    answer = site.post("/events", message.body, **message.headers)

    [event] = deferred
    assert (answer.status_code, answer.json) == (202, {"id": event.id})
    assert (event.name, event.event.source, event.handling.key) == ("order.paid", "/shop/ä b", "17")
    if isinstance(data, bytes | str):
        assert event.event.data == content(data)
    else:
        assert event.payload == data
    assert event.event.content_type == attributes["datacontenttype"]


def test_data_of_no_type_is_json_in_json_alone(site: IngressSite, deferred: Recording) -> None:
    """In binary mode, bytes of no type are bytes."""
    for to_message in (to_structured_event, to_binary_event):
        message = to_message(CloudEvent(dict(PLAIN), {"a": 1}))
        assert site.post("/events", message.body, **message.headers).status_code == 202
    assert [event.payload for event in deferred] == [{"a": 1}, b'{"a": 1}']


def test_a_batch_has_an_answer_for_each_event(site: IngressSite, deferred: Recording) -> None:
    """In order."""
    events = [json.loads(to_structured_event(CloudEvent(dict(PLAIN, id=str(at)), {"n": at})).body) for at in range(3)]

    answer = site.post("/events", json.dumps(events), Content_Type=BATCH)

    assert answer.status_code == 202
    assert answer.json == [{"id": event.id, "status": 202} for event in deferred]
    assert [(event.handling.key, event.payload) for event in deferred] == [(str(at), {"n": at}) for at in range(3)]


def test_a_batch_with_a_wrong_event_defers_none(site: IngressSite, deferred: Recording) -> None:
    """The answer says which one is wrong and why, and that the others are not deferred."""
    events = [PLAIN, {**PLAIN, "type": "a..b"}, {**PLAIN, "type": "mail.sent"}, 17]

    answer = site.post("/events", json.dumps(events), token="t-orders", Content_Type=BATCH)

    assert answer.status_code == 207
    assert answer.json is not None
    assert [each["status"] for each in answer.json] == [424, 422, 403, 400]
    assert answer.json[3]["value"] == "17"
    assert not list(deferred)


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "x" * 201},
        {"id": "a\u200db"},
        {"datacontenttype": "text/plain; é", "data": "a"},
        {"datacontenttype": "text/plain; " + "x" * 200, "data": "a"},
        {"type": "bridge.x"},
    ],
)
def test_of_a_batch_the_wrong_event_alone_is_named(
    site: IngressSite, deferred: Recording, wrong: dict[str, str]
) -> None:
    """The others have 424, or a problem of their own. Nothing is deferred."""
    answer = site.post("/events", json.dumps([PLAIN, PLAIN | wrong, 17]), Content_Type=BATCH)

    assert answer.status_code == 207
    assert [each["status"] for each in answer.get_json()] == [424, 422, 400]
    assert not list(deferred)


def test_the_headers_of_a_batch_are_wrong_for_all(site: IngressSite, deferred: Recording) -> None:
    """One problem says so."""
    answer = site.post("/events", json.dumps([PLAIN, PLAIN]), Content_Type=BATCH, Bridge_Delay="900000000d")
    assert answer.status_code == 422
    assert "before the year 10000" in answer.get_json(force=True)["detail"]
    assert not list(deferred)


def test_of_a_batch_that_is_deferred_in_part_each_event_has_its_end() -> None:
    """Those that a queue takes are deferred, and the others are named."""
    site = IngressSite('[queues.orders]\npatterns = ["order.#"]')
    events = [PLAIN, {**PLAIN, "type": "mail.sent"}]

    answer = site.post("/events", json.dumps(events), Content_Type=BATCH)

    assert answer.status_code == 207
    assert answer.json is not None
    assert [each["status"] for each in answer.json] == [202, 404]
    assert "mail.sent" in answer.json[1]["detail"]


def test_an_empty_batch_is_accepted(site: IngressSite, deferred: Recording) -> None:
    """There is nothing to do."""
    answer = site.post("/events", b"[]", Content_Type=BATCH)
    assert (answer.status_code, answer.json) == (202, [])


def test_the_name_in_the_url_is_the_name(site: IngressSite, deferred: Recording) -> None:
    """Whatever the type of the event, which need not be a name."""
    wild = {**PLAIN, "type": "https://example.org/paid"}
    assert site.post("/events/order.paid", json.dumps(wild), Content_Type=JSON).status_code == 202
    assert site.post("/events/order.sent", json.dumps([wild]), Content_Type=BATCH).status_code == 202
    assert [event.name for event in deferred] == ["order.paid", "order.sent"]


@pytest.mark.parametrize("given", [{"data": None}, {}])
def test_an_event_without_data_has_null(site: IngressSite, deferred: Recording, given: dict[str, Any]) -> None:
    """As `defer()` without a payload."""
    assert site.post("/events", json.dumps(PLAIN | given), Content_Type=JSON).status_code == 202
    assert [(event.event.content_type, event.event.data) for event in deferred] == [("application/json", b"null")]


@pytest.mark.parametrize(
    ("event", "status", "detail"),
    [
        ({**PLAIN, "specversion": "0.3"}, 400, "specversion='0.3': expected '1.0'"),
        ({**PLAIN, "id": ""}, 400, "id='': expected a text"),
        ({**PLAIN, "id": "x" * 201}, 422, "key='xxx"),
        ({**PLAIN, "source": "x" * 201}, 400, "expected at most 200 printable characters"),
        ({**PLAIN, "datacontenttype": 1}, 400, "datacontenttype=1: expected a text"),
        ({**PLAIN, "datacontenttype": "text/plain", "data": 1}, 400, "data=1: expected a text, because"),
        ({**PLAIN, "data_base64": "?"}, 400, "data_base64='?': expected base64"),
        ({**PLAIN, "data_base64": 1}, 400, "data_base64=1: expected base64"),
        ({**PLAIN, "data_base64": "", "data": 1}, 400, "expected no data beside it"),
        (
            {**PLAIN, "datacontenttype": "text/plain", "data": "\ud800"},
            422,
            "data='\\ud800': expected a text that UTF-8",
        ),
        ([], 400, "body=[]: expected a CloudEvent"),
    ],
)
def test_a_wrong_event_is_a_problem(
    site: IngressSite, deferred: Recording, event: Any, status: int, detail: str
) -> None:
    """The problem names the attribute, its value and what was expected."""
    answer = site.post("/events", json.dumps(event), Content_Type=JSON)
    assert answer.status_code == status
    assert detail in answer.get_json(force=True)["detail"]
    assert not list(deferred)


@pytest.mark.parametrize("number", ["1e400", "-1e400"])
def test_a_number_that_cannot_be_written_again_is_a_problem(
    site: IngressSite, deferred: Recording, number: str
) -> None:
    """The problem names it. Data that are kept byte for byte may have it."""
    data = f'{{"x": {number}}}'
    event = json.dumps(PLAIN)[:-1] + f', "data": {data}}}'
    for body, content_type in ((event, JSON), (f"[{event}]", BATCH)):
        answer = site.post("/events", body, Content_Type=content_type)
        assert (answer.status_code, answer.get_json(force=True)["detail"]) == (
            422,
            f"the body: {number} is too large for a float of 64 bits",
        )
    assert site.post("/events/order.paid", data, Content_Type="application/json").status_code == 202
    assert [event.event.data for event in deferred] == [data.encode()]


def test_a_lone_surrogate_in_json_stays_an_escape(site: IngressSite, deferred: Recording) -> None:
    """UTF-8 cannot encode it. Other characters are written as they are."""
    event = {**PLAIN, "data": {"x\ud800": "ä\udfff"}}
    assert site.post("/events", json.dumps(event), Content_Type=JSON).status_code == 202
    assert site.post("/events", json.dumps([event]), Content_Type=BATCH).status_code == 202
    assert [each.event.data for each in deferred] == ['{"x\\ud800":"ä\\udfff"}'.encode()] * 2


@pytest.mark.parametrize(
    ("headers", "body", "status", "detail"),
    [
        ({"ce-specversion": "1.0"}, b"", 400, "the header ce-id=None: expected a text"),
        ({"Content-Type": "application/cloudevents+avro"}, b"", 415, "expected application/cloudevents+json"),
        ({"Content-Type": "application/cloudevents"}, b"", 415, "expected application/cloudevents+json"),
        ({"Content-Type": "application/cloudevents-batch+avro"}, b"", 415, "application/cloudevents-batch+json"),
        ({"Content-Type": BATCH}, b"{}", 400, "expected a JSON array"),
        ({"Content-Type": BATCH, "Prefer": "wait=1"}, b"[]", 400, "expected no wait with a batch"),
        ({"Content-Type": BATCH, "Idempotency-Key": "a"}, b"[]", 400, "expected no key with a batch"),
    ],
)
def test_a_wrong_message_is_a_problem(
    site: IngressSite, deferred: Recording, headers: dict[str, str], body: bytes, status: int, detail: str
) -> None:
    """Attributes in headers, formats that are not known, and bodies that are no batch."""
    answer = site.post("/events", body, **headers)
    assert answer.status_code == status
    assert detail in answer.get_json(force=True)["detail"]
