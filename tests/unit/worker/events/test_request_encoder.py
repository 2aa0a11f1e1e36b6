"""The encoded requests of replays: what is encoded once makes no difference to what the app gets."""

from datetime import UTC, datetime

import pytest

from bridge.envelope import Envelope
from bridge.event import Event
from bridge.fastcgi import EncodedRequest, InvalidRequest
from bridge.fastcgi.params import decode_params
from bridge.public_url import PublicUrl
from bridge.request import OF_THE_EVENT, ReplayTarget, parameters
from tests.unit.bridge.fastcgi.application import pairs_of
from worker.events.request_encoder import RequestEncoder

NOW = datetime(2030, 1, 2, 3, 4, 5, 6, UTC)
EVENT = Event("e-1", "mail.sent", "shop", NOW, "application/json", b"{}")
ENVELOPE = Envelope(EVENT, NOW)

ENVELOPES = [
    ENVELOPE,
    ENVELOPE._replace(event=EVENT._replace(id="e-2", data=b"", time=NOW.replace(year=2031))),
    ENVELOPE._replace(event=EVENT._replace(traceparent="00-1-2-01")),
    ENVELOPE._replace(event=EVENT._replace(name="mail.bounced")),
    ENVELOPE._replace(event=EVENT._replace(source='a "shop" %')),
    ENVELOPE._replace(event=EVENT._replace(content_type="text/plain")),
    ENVELOPE._replace(spent=3),
    ENVELOPE._replace(finished=("a", "b")),
]

TARGETS = [
    ReplayTarget(),
    ReplayTarget("/in", PublicUrl("https", "shop.example:8443", "/mounted")),
    ReplayTarget(fixed={"SCRIPT_FILENAME": "/srv/app.php", "QUERY_STRING": "a=b"}),
    ReplayTarget(fixed={"HTTP_TRACEPARENT": "fixed", "CONTENT_LENGTH": "7", "HTTP_CE_ID": "x"}),
    ReplayTarget(fixed={"LARGE": "x" * 65_400}),
    ReplayTarget(fixed={"LARGE": "x" * 60_000, "ANOTHER": "x" * 60_000}),
]


def params_of(request: EncodedRequest) -> dict[str, str]:
    """Return the parameters of a request; each of its records has whole pairs."""
    return {name: value for content in request.params for name, value in decode_params(content).items()}


@pytest.mark.parametrize("target", TARGETS)
def test_the_app_gets_the_parameters_of_the_event(target: ReplayTarget) -> None:
    """Whatever was encoded before, a request has exactly the parameters of its own event, each once, and its data."""
    encoder = RequestEncoder(target, {})

    for envelope in (*ENVELOPES, *ENVELOPES):
        for queue in ("mail", "default"):
            request = encoder.encode(envelope, queue)

            assert params_of(request) == parameters(envelope, queue, target)
            names = [name for content in request.params for name, _ in pairs_of(content)]
            assert len(names) == len(set(names))
            assert (request.body, request.bodiless) == (envelope.event.data, False)


def test_what_fastcgi_cannot_carry() -> None:
    """Such an event is refused, each time, and the next one is encoded."""
    encoder = RequestEncoder(ReplayTarget(), {})
    unsendable = ENVELOPE._replace(event=EVENT._replace(content_type="\ud800"))

    for _ in range(2):
        with pytest.raises(InvalidRequest, match="CONTENT_TYPE"):
            encoder.encode(unsendable, "mail")
    assert params_of(encoder.encode(ENVELOPE, "mail"))["CONTENT_TYPE"] == "application/json"


def test_events_differ_in_their_own_parameters_only() -> None:
    """Two events of one name and source differ in nothing but `OF_THE_EVENT`."""
    other = EVENT._replace(id="e-2", data=b"[]...", time=NOW.replace(year=2031), traceparent="00-1-2-01")
    one, two = (parameters(Envelope(event, NOW), "mail", ReplayTarget()) for event in (EVENT, other))

    assert {name for name in two if one.get(name) != two[name]} == OF_THE_EVENT
