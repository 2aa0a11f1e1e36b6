"""The CGI parameters that carry a replay."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.public_url import PublicUrl
from bridge.request import ReplayTarget, is_replay, parameters, read
from tests.unit.bridge.examples import envelope, event


def test_what_the_worker_writes_is_what_the_receiver_reads() -> None:
    """The receiver reads the event, attempt, queue and finished listeners that the worker wrote."""
    sent = envelope(event=event(traceparent="00-aa-bb-01"), spent=2, finished=("shop:mail",))
    got = read(parameters(sent, "mail", ReplayTarget()), sent.event.data)
    assert (got.event, got.attempt, got.queue, got.finished) == (sent.event, 3, "mail", ("shop:mail",))


@given(st.text(max_size=30), st.text(max_size=30))
def test_ids_and_sources_of_any_text_come_through_as_plain_ascii(id: str, source: str) -> None:
    """Ids and sources are percent-encoded, as CloudEvents' HTTP binding requires, and are read back unchanged."""
    try:
        (id + source).encode()
    except UnicodeEncodeError:
        return
    sent = envelope(event=event(id=id, source=source))
    written = parameters(sent, "q", ReplayTarget())
    assert (written["HTTP_CE_ID"] + written["HTTP_CE_SOURCE"]).isascii()
    got = read(written, b"")
    assert (got.event.id, got.event.source) == (id, source)


def test_the_path_is_the_sites_and_the_name_is_the_events() -> None:
    """The path is made of the configured replay path and the event name, and of nothing else."""
    written = parameters(envelope(), "q", ReplayTarget("/in", PublicUrl("http", "shop.example:8080")))
    assert written["PATH_INFO"] == written["REQUEST_URI"] == "/in/account.created"
    assert (written["HTTP_HOST"], written["SERVER_NAME"], written["SERVER_PORT"]) == (
        "shop.example:8080",
        "shop.example",
        "8080",
    )


def test_fixed_parameters_are_added_and_replace_no_parameter_of_the_replay() -> None:
    """SCRIPT_FILENAME comes from the settings, and the replay's own parameters take precedence."""
    target = ReplayTarget(fixed={"SCRIPT_FILENAME": "/srv/shop.php", "REQUEST_METHOD": "GET"})
    written = parameters(envelope(), "q", target)
    assert (written["SCRIPT_FILENAME"], written["REQUEST_METHOD"]) == ("/srv/shop.php", "POST")


@pytest.mark.parametrize("query", ["", "route=bridge/events&x=%20"])
def test_the_query_is_that_of_the_settings(query: str) -> None:
    """A front controller that looks at the query, or at the URI with it, finds its route."""
    target = ReplayTarget("/in", fixed={"QUERY_STRING": query} if query else {})
    written = parameters(envelope(), "q", target)
    assert written["QUERY_STRING"] == query
    assert written["REQUEST_URI"] == "/in/account.created" + (f"?{query}" if query else "")
    assert written["PATH_INFO"] == "/in/account.created"


def test_the_length_is_exact_and_there_for_an_empty_body_too() -> None:
    """An empty body has CONTENT_LENGTH 0, because a FastCGI responder reads as many bytes as that says."""
    assert parameters(envelope(event=event(data=b"")), "q", ReplayTarget())["CONTENT_LENGTH"] == "0"


def test_no_http_header_makes_a_replay() -> None:
    """A client's header cannot forge a replay, because a web server passes headers on as HTTP_* only."""
    assert is_replay({"BRIDGE_REPLAY": "1"})
    assert not is_replay({"HTTP_BRIDGE_REPLAY": "1"})
    assert not is_replay({})


@pytest.mark.parametrize("missing", ["HTTP_CE_ID", "HTTP_CE_TIME", "BRIDGE_ATTEMPT", "BRIDGE_FINISHED"])
def test_a_replay_that_lacks_a_parameter_says_which(missing: str) -> None:
    """The error names the missing parameter, for instance if the worker is of another version."""
    written = parameters(envelope(), "q", ReplayTarget())
    del written[missing]
    with pytest.raises(ValueError, match=missing):
        read(written, b"")
