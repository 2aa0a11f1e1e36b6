"""Edit and erase a dead letter on the page, and purge a queue: with Flask's client on a site on SQLite."""

import asyncio
import html
import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from bridge.attempt import Error
from bridge.brokers.contract.broker import Broker
from bridge.config.settings import Settings
from bridge.controls import Purge
from bridge.event import Event
from bridge.ledger import Discarded, Entry, Redriven
from tests.contract.acts import a_letter, an_event, consuming, take
from tests.dashboard.page_client import EVIL, kill, on_broker, signed_in, token_of
from tests.dashboard.page_site import until
from worker.control.controls_log import ControlsLog


def with_letter(app: Flask, settings: Settings, data: bytes, name: str = "ana") -> FlaskClient:
    """Let an event with this data die; return a client of this user once the page knows its letter 1."""
    kill(settings, a_letter, data)
    client = signed_in(app, name)
    until(lambda: client.get("/failing.json").get_json()["dead"] == 1)
    return client


def shown_data(client: FlaskClient, path: str = "/acts/edit?number=1") -> str:
    """Return what the form to edit has in its field, as a browser reads it."""
    found = re.search(r"<textarea[^>]*>\n(.*?)</textarea>", client.get(path).text, re.DOTALL)
    assert found is not None
    return html.unescape(found[1])


def edit(client: FlaskClient, data: str, why: str = "typo") -> Any:
    """Send the form to edit with these data, with the line ends that browsers send."""
    form = {"token": token_of(client, "/acts/edit?number=1"), "data": data.replace("\n", "\r\n"), "why": why}
    return client.post("/acts/edit?number=1", data=form)


def put_back(settings: Settings) -> Event:
    """Return the event that waits in the queue of mails."""
    found: list[Event] = []

    async def look(broker: Broker) -> None:
        consumer = await consuming(broker, "mail")
        found.append((await take(consumer)).envelope.event)
        await consumer.close()

    on_broker(settings, look)
    return found[0]


def entries(settings: Settings) -> list[Entry]:
    """Return the entries of the ledger."""
    found: list[Entry] = []

    async def read(broker: Broker) -> None:
        found.extend([entry async for entry in broker.ledger().entries()])

    on_broker(settings, read)
    return found


def test_an_edited_event_has_a_new_id_and_a_link(app: Flask, settings: Settings) -> None:
    """The form has the data as indented JSON. The decision names the new event, who and why; its screen follows."""
    client = with_letter(app, settings, b'{"to": "ann", "n": 1}')
    shown = shown_data(client)
    assert shown == '{\n  "to": "ann",\n  "n": 1\n}\n'

    answer = edit(client, shown.replace("ann", "böb"))

    event = put_back(settings)
    assert json.loads(event.data) == {"to": "böb", "n": 1}
    assert answer.headers["Location"] == f"/event?id={event.id}"
    decision = entries(settings)[-1]
    assert isinstance(decision, Redriven)
    assert (decision.letter, decision.actor) == (1, "ana@page")
    assert decision.note == f"edited, as event {event.id}: typo"


def test_a_form_that_is_sent_twice_edits_once(app: Flask, settings: Settings) -> None:
    """The second one changes nothing, and says so."""
    client = with_letter(app, settings, b'{"n": 1}')
    form = {"token": token_of(client, "/acts/edit?number=1"), "data": '{"n": 2}', "why": "typo"}

    for _ in range(2):
        assert client.post("/acts/edit?number=1", data=form).status_code == 303

    assert sum(isinstance(each, Redriven) for each in entries(settings)) == 1
    assert "letter 1 was decided meanwhile" in client.get("/").text


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ('{"n": 1,}', "expected JSON, as the old data are"),
        ('{"n": NaN}', "expected JSON, as the old data are: NaN is not JSON"),
        ('{"n": 1e400}', "expected JSON, as the old data are: 1e400 is too large for a float of 64 bits"),
        ('{"n": 1' + " " * 200_000 + "}", "expected at most 131,072 characters"),
        ('{\n  "n": 1\n}\n', "these are the old ones"),
    ],
)
def test_data_that_cannot_be_taken_stay_in_the_form(app: Flask, settings: Settings, sent: str, expected: str) -> None:
    """The form comes back with an error, the data and the reason of the person; nothing is put back."""
    client = with_letter(app, settings, b'{"n": 1}')

    answer = edit(client, sent, "a reason of mine")

    assert answer.status_code == 400
    assert expected in html.unescape(answer.text)
    assert "a reason of mine" in answer.text
    assert html.escape(sent.strip(), quote=False).replace('"', "&#34;") in answer.text
    assert len(entries(settings)) == 1


def test_hidden_fields_are_not_shown_and_keep_their_values(app: Flask, settings: Settings) -> None:
    """The form has [redacted] in their place, and the event that is put back has the values."""
    old = {"to": "ann", "password": "hunter2hunter2", "cards": [{"token": "tok-1", "n": 1}, {"token": "tok-2", "n": 2}]}
    client = with_letter(app, settings, json.dumps(old).encode())
    shown = shown_data(client)
    assert "hunter2" not in shown and "tok-" not in shown

    assert edit(client, shown.replace("ann", "bob")).status_code == 303

    assert json.loads(put_back(settings).data) == {**old, "to": "bob"}


def test_a_lone_surrogate_keeps_its_value(app: Flask, settings: Settings) -> None:
    """It is an escape in the form, beside hidden fields too."""
    old = {"to": "ann \ud800", "password": "hunter2hunter2"}
    client = with_letter(app, settings, json.dumps(old).encode())
    shown = shown_data(client)
    assert '"ann \\ud800"' in shown

    assert edit(client, shown.replace("ann", "bob")).status_code == 303

    assert json.loads(put_back(settings).data) == {**old, "to": "bob \ud800"}


def test_hidden_values_do_not_move(app: Flask, settings: Settings) -> None:
    """Items of a list that change places are refused: nobody could tell whose value is whose."""
    old = {"cards": [{"token": "tok-1", "n": 1}, {"token": "tok-2", "n": 2}]}
    client = with_letter(app, settings, json.dumps(old).encode())
    value = json.loads(shown_data(client))
    value["cards"].reverse()

    answer = edit(client, json.dumps(value))

    assert answer.status_code == 400
    assert "has no old value in this place" in answer.text
    assert len(entries(settings)) == 1


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\xff\x00", "are no plain text"),
        (b"a\x1b[31mb", "are no plain text"),
        (b"password=hunter2hunter2&to=ann\xff", "are no plain text"),
        (b'{"password": "hunter2hunter2", "n": 1e400}', "have hidden fields, and cannot be read as JSON"),
        (b"x" * 40_000, "too long for a form"),
    ],
)
def test_data_that_a_form_would_change_are_not_edited(
    app: Flask, settings: Settings, data: bytes, expected: str
) -> None:
    """The page names the command that edits them."""
    client = with_letter(app, settings, data)

    answer = client.get("/acts/edit?number=1")

    assert answer.status_code == 404
    assert expected in answer.text
    assert "bridge-dlq edit 1" in answer.text


def test_hostile_data_are_edited_as_text(app: Flask, settings: Settings) -> None:
    """Markup ends no field, and marks of the text direction are escapes in the JSON, with the same value."""
    value = {"x": f"</textarea>{EVIL}"}
    client = with_letter(app, settings, json.dumps(value, ensure_ascii=False).encode())

    page = client.get("/acts/edit?number=1").text

    assert "<script>alert" not in page
    assert "\u202e" not in page
    assert json.loads(shown_data(client)) == value


def test_an_erased_letter_is_shown_nowhere(app: Flask, settings: Settings, tmp_path: Path) -> None:
    """Its data and messages are gone from the file and from the page; the letter is discarded, with who and why."""
    error = Error("KeyError", "secret-ann is unknown", 'x = "secret-ann"')
    kill(settings, lambda delivery: replace(a_letter(delivery), error=error), b'{"to": "secret-ann"}')
    client = signed_in(app, "ana")
    until(lambda: client.get("/failing.json").get_json()["dead"] == 1)
    event = client.get("/letters/1.json").get_json()["event"]["id"]
    asked = client.get("/acts/erase?number=1").text
    assert "Its 20 bytes of data" in asked
    assert "it is discarded too" in asked
    form = {"token": token_of(client, "/acts/erase?number=1"), "why": "request of Ann"}

    assert client.post("/acts/erase?number=1", data=form).status_code == 303

    decision = entries(settings)[-1]
    assert isinstance(decision, Discarded)
    assert (decision.actor, decision.note) == ("ana@page", "erased: request of Ann")
    until(lambda: client.get("/failing.json").get_json()["dead"] == 0)
    for path in ("/letters/1", "/failing", f"/event?id={event}"):
        assert "secret-ann" not in client.get(path).text, path
    assert "secret-ann" not in (tmp_path / "b.db").read_bytes().decode(errors="replace")
    assert "Erase for good" not in client.get("/letters/1").text


def test_a_letter_that_is_erased_after_its_redrive_is_shown_nowhere(app: Flask, settings: Settings) -> None:
    """The page forgets the message that it has read before."""
    error = Error("KeyError", "secret-ann is unknown")
    kill(settings, lambda delivery: replace(a_letter(delivery), error=error))
    client = signed_in(app, "ana")
    until(lambda: client.get("/failing.json").get_json()["dead"] == 1)
    event = client.get("/letters/1.json").get_json()["event"]["id"]
    form = {"token": token_of(client, "/acts/discard?number=1"), "why": "no use"}
    assert client.post("/acts/discard?number=1", data=form).status_code == 303
    until(lambda: client.get("/failing.json").get_json()["dead"] == 0)
    assert "secret-ann" in client.get(f"/event?id={event}").text
    form = {"token": token_of(client, "/acts/erase?number=1"), "why": "request of Ann"}

    client.post("/acts/erase?number=1", data=form)

    assert "secret-ann" not in client.get(f"/event?id={event}").text


def purges(settings: Settings) -> list[Purge]:
    """Return the recorded purges of the queue of mails."""
    found: list[Purge] = []

    async def read(broker: Broker) -> None:
        log = ControlsLog(broker, settings.values.namespace, settings.ledger_keys())
        await log.read_controls()
        found.extend(log.controls.purges("mail"))

    on_broker(settings, read)
    return found


def publish(settings: Settings, count: int) -> None:
    """Defer so many mails."""

    async def defer(broker: Broker) -> None:
        publisher = broker.publisher()
        await asyncio.gather(*(publisher.publish(an_event("mail.sent")) for _ in range(count)))

    on_broker(settings, defer)


def test_a_purge_counts_and_is_recorded_and_deletes_once(app: Flask, settings: Settings) -> None:
    """The question has the number; the record has who, why and how many. The same form again deletes nothing."""
    publish(settings, 3)
    client = signed_in(app, "ana")
    until(lambda: "Delete the 3 ready events of queue mail?" in client.get("/acts/purge?queue=mail").text)
    form = {"token": token_of(client, "/acts/purge?queue=mail"), "why": "a test"}
    assert client.post("/acts/purge?queue=mail", data=form).status_code == 303
    publish(settings, 2)

    assert client.post("/acts/purge?queue=mail", data=form).status_code == 303

    [purge] = purges(settings)
    assert (purge.who, purge.why, purge.events) == ("ana@page", "a test", 3)
    assert purge.time <= datetime.now(UTC)
    until(lambda: "Delete the 2 ready events" in client.get("/acts/purge?queue=mail").text)


@pytest.mark.parametrize("act", ["purge?queue=mail", "edit?number=1", "erase?number=1"])
def test_only_the_role_edit_changes_or_deletes_what_was_deferred(app: Flask, act: str) -> None:
    """Operate is refused, before anything is read."""
    assert signed_in(app, "ola").get(f"/acts/{act}").status_code == 403
    assert signed_in(app, "ola").post(f"/acts/{act}", data={"why": "x"}).status_code == 403


@pytest.mark.parametrize("number", ["", "0", "-1", "x", "9" * 40, "7"])
@pytest.mark.parametrize("act", ["edit", "erase"])
def test_a_letter_that_is_not_there_is_said(app: Flask, act: str, number: str) -> None:
    """404 for a number without a letter, 400 for what is no number."""
    answer = signed_in(app, "ana").get(f"/acts/{act}?number={number}")
    assert answer.status_code in (400, 404)
    assert "etter" in answer.text


@pytest.mark.parametrize(("limit", "status", "decided"), [("00000000012", 303, 2), ("1" * 19, 400, 0)])
def test_a_number_of_letters_is_read_whole(
    app: Flask, settings: Settings, limit: str, status: int, decided: int
) -> None:
    """Also with zeros before it; one that is too long is refused."""
    kill(settings, a_letter)
    kill(settings, a_letter)
    client = signed_in(app, "ana")
    until(lambda: client.get("/failing.json").get_json()["dead"] == 2)
    form = {"token": token_of(client, "/acts/discard"), "why": "old", "limit": limit}

    assert client.post("/acts/discard", data=form).status_code == status

    until(lambda: client.get("/failing.json").get_json()["dead"] == 2 - decided)
    assert sum(isinstance(each, Discarded) for each in entries(settings)) == decided


@pytest.mark.parametrize("number", ["2", "9" * 19, "9" * 500])
@pytest.mark.parametrize("path", ["/letters/{}", "/letters/{}.json", "/acts/redrive?number={}"])
def test_a_letter_that_does_not_exist_is_404(app: Flask, settings: Settings, path: str, number: str) -> None:
    """A number that the database cannot hold is no error of the server."""
    client = with_letter(app, settings, b"{}")
    assert client.get(path.format(number)).status_code == 404
