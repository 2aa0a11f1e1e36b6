"""A replay's way through CGI parameters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.request import Site, is_replay, parameters, read
from tests.unit.bridge.examples import envelope, event


def test_what_the_worker_writes_is_what_the_receiver_reads() -> None:
    """Event, attempt, queue and finished listeners come through."""
    sent = envelope(event=event(traceparent="00-aa-bb-01"), spent=2, finished=("shop:mail",))
    got = read(parameters(sent, "mail", Site()), sent.event.data)
    assert (got.event, got.attempt, got.queue, got.finished) == (sent.event, 3, "mail", ("shop:mail",))


@given(st.text(max_size=30), st.text(max_size=30))
def test_ids_and_sources_of_any_text_come_through_as_plain_ascii(id: str, source: str) -> None:
    """As CloudEvents' HTTP binding asks: percent-encoded."""
    try:
        (id + source).encode()
    except UnicodeEncodeError:
        return
    sent = envelope(event=event(id=id, source=source))
    written = parameters(sent, "q", Site())
    assert (written["HTTP_CE_ID"] + written["HTTP_CE_SOURCE"]).isascii()
    got = read(written, b"")
    assert (got.event.id, got.event.source) == (id, source)


def test_the_path_is_the_sites_and_the_name_is_the_events() -> None:
    """Nothing else of an event reaches the path."""
    written = parameters(envelope(), "q", Site(host="shop.example:8080", replay_path="/in"))
    assert written["PATH_INFO"] == written["REQUEST_URI"] == "/in/account.created"
    assert (written["HTTP_HOST"], written["SERVER_NAME"], written["SERVER_PORT"]) == (
        "shop.example:8080",
        "shop.example",
        "8080",
    )


def test_what_a_pool_is_told_is_there_and_replaces_nothing_of_the_replays_own() -> None:
    """SCRIPT_FILENAME comes from settings, and an event's own parameters win."""
    site = Site(fixed={"SCRIPT_FILENAME": "/srv/shop.php", "REQUEST_METHOD": "GET"})
    written = parameters(envelope(), "q", site)
    assert (written["SCRIPT_FILENAME"], written["REQUEST_METHOD"]) == ("/srv/shop.php", "POST")


def test_the_length_is_exact_and_there_for_an_empty_body_too() -> None:
    """A responder reads by CONTENT_LENGTH."""
    assert parameters(envelope(event=event(data=b"")), "q", Site())["CONTENT_LENGTH"] == "0"


def test_no_http_header_makes_a_replay() -> None:
    """A web server passes a client's headers on as HTTP_* only."""
    assert is_replay({"BRIDGE_REPLAY": "1"})
    assert not is_replay({"HTTP_BRIDGE_REPLAY": "1"})
    assert not is_replay({})


@pytest.mark.parametrize("missing", ["HTTP_CE_ID", "HTTP_CE_TIME", "BRIDGE_ATTEMPT", "BRIDGE_FINISHED"])
def test_a_replay_that_lacks_a_parameter_says_which(missing: str) -> None:
    """A worker of another version is named by what it does not send."""
    written = parameters(envelope(), "q", Site())
    del written[missing]
    with pytest.raises(ValueError, match=missing):
        read(written, b"")
