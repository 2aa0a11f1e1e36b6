"""An `Idempotency-Key` of the ingress on RabbitMQ: held by the database of a store, with the event in its outbox."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select, update
from werkzeug.test import TestResponse

from bridge.errors import SettingsError
from bridge.publishing.outbox.tables import tables
from tests.database_server import DatabaseServer
from tests.unit.app_adapter.ingress.ingress_site import IngressSite

OUTBOX, KEYS = tables("bridge").outbox, tables("bridge").keys

AWAY = 'broker_url = "amqp://127.0.0.1:1/"\npublish_timeout = "500ms"\n'
"""A RabbitMQ that cannot be reached: an event in the outbox does not need it."""


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def site(engine: Engine, url: str) -> IngressSite:
    """An ingress whose site has one store."""
    return IngressSite(f'{AWAY}[stores.shop]\nurl = "{url}"\n')


def stored(engine: Engine) -> list[Any]:
    """Return the payloads in the outbox, in order."""
    with engine.connect() as connection:
        rows = connection.execute(select(OUTBOX.c.data).order_by(OUTBOX.c.number)).scalars()
        return [json.loads(data) for data in rows]


def post(site: IngressSite, number: int, key: str, **headers: str) -> TestResponse:
    """Post an event with a key."""
    return site.post("/events/order.paid", str(number), Content_Type="application/json", Idempotency_Key=key, **headers)


def test_a_repeated_request_defers_no_second_event(engine: Engine, site: IngressSite) -> None:
    """Its answer has the id of the first one. Another key is another event."""
    first, repeat, other = post(site, 1, "a"), post(site, 2, "a"), post(site, 3, "b")

    assert [answer.status_code for answer in (first, repeat, other)] == [202] * 3
    assert first.json == repeat.json != other.json
    assert stored(engine) == [1, 3]

    refused = post(site, 4, "a", Bridge_On_Duplicate="raise")
    assert (refused.status_code, refused.get_json(force=True)["id"]) == (409, first.get_json()["id"])


@pytest.mark.databases("postgres", "mariadb")
def test_requests_at_the_same_time_defer_one_event(engine: Engine, site: IngressSite) -> None:
    """Each has the id of that event."""
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda number: post(site, number, "a"), range(24)))

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.get_json()["id"] for answer in answers}) == 1
    assert len(stored(engine)) == 1


@pytest.mark.databases("sqlite")
def test_a_key_is_held_for_its_time(engine: Engine, site: IngressSite) -> None:
    """Then another event may have it."""
    post(site, 1, "a", Bridge_Within="1h")
    with engine.begin() as connection:
        (until,) = connection.execute(select(KEYS.c.until)).scalars()
        assert timedelta(minutes=59) < until.replace(tzinfo=UTC) - datetime.now(UTC) <= timedelta(hours=1)
        connection.execute(update(KEYS).values(until=until - timedelta(hours=1)))
    post(site, 2, "a")

    assert stored(engine) == [1, 2]


@pytest.mark.databases("postgres", "sqlite")
def test_a_batch_has_an_answer_for_each_event(engine: Engine, site: IngressSite) -> None:
    """A duplicate has the id of the first event, or is refused alone."""

    def batch(*ids: int, **headers: str) -> TestResponse:
        events = [
            {"specversion": "1.0", "id": str(each), "source": "/s", "type": "order.paid", "data": each} for each in ids
        ]
        content_type = "application/cloudevents-batch+json"
        data = json.dumps(events)
        return site.post("/events", data, Content_Type=content_type, Bridge_Within="1h", **headers)

    first, second = batch(1, 2), batch(2, 3)
    mixed = batch(3, 4, Bridge_On_Duplicate="raise")

    assert [first.status_code, second.status_code, mixed.status_code] == [202, 202, 207]
    assert first.get_json()[1]["id"] == second.get_json()[0]["id"]
    assert [each["status"] for each in mixed.get_json()] == [409, 202]
    assert stored(engine) == [1, 2, 3, 4]


@pytest.mark.databases("postgres", "sqlite")
def test_of_a_batch_that_no_queue_takes_the_event_is_named(engine: Engine, url: str) -> None:
    """No event is written. One that is due later may have a queue by then."""
    site = IngressSite(f'{AWAY}[stores.shop]\nurl = "{url}"\n[queues.orders]\npatterns = ["order.#"]\n')
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "order.paid", "data": 1}
    events = json.dumps([event, {**event, "id": "2", "type": "mail.sent"}])

    def batch(**headers: str) -> TestResponse:
        batch = "application/cloudevents-batch+json"
        return site.post("/events", events, Content_Type=batch, Bridge_Within="1h", **headers)

    answer = batch()
    assert answer.status_code == 404
    assert [each["status"] for each in answer.get_json()] == [424, 404]
    assert "mail.sent" in answer.get_json()[1]["detail"]
    assert stored(engine) == []
    assert batch(Bridge_Delay="1h").status_code == 202


@pytest.mark.databases("sqlite")
def test_an_event_without_a_key_goes_to_the_broker(engine: Engine, site: IngressSite) -> None:
    """As does one whose key is only a name."""
    assert site.post("/events/order.paid").status_code == 503
    named = {"ce_specversion": "1.0", "ce_id": "1", "ce_source": "/s", "ce_type": "order.paid"}
    assert site.post("/events", **named).status_code == 503
    assert stored(engine) == []


@pytest.mark.databases("postgres", "mariadb")
def test_a_database_that_is_away(engine: Engine, site: IngressSite, kind: str, request: pytest.FixtureRequest) -> None:
    """The client is told to come again, and nothing was deferred. A later request finds the database."""
    server: DatabaseServer = request.getfixturevalue(kind)
    assert post(site, 1, "a").status_code == 202
    server.stop()
    away = post(site, 2, "b")
    server.start()

    assert (away.status_code, away.headers["Retry-After"]) == (503, "5")
    assert "password" not in away.get_json(force=True)["detail"]
    assert post(site, 2, "b").status_code == 202
    assert stored(engine) == [1, 2]


@pytest.mark.databases("sqlite")
def test_missing_tables_are_named(url: str) -> None:
    """With the program that prints them."""
    answer = post(IngressSite(f'{AWAY}[stores.shop]\nurl = "{url}"\n'), 1, "a")
    assert answer.status_code == 503
    assert "`bridge-outbox ddl`" in answer.get_json(force=True)["detail"]


@pytest.mark.databases("sqlite")
def test_one_of_several_stores_is_chosen(engine: Engine, url: str) -> None:
    """Without a choice, nobody holds the key."""
    stores = f'{AWAY}[stores.mail]\nurl = "sqlite:///mail.db"\n[stores.shop]\nurl = "{url}"\n'

    assert post(IngressSite(stores), 1, "a").status_code == 422
    assert post(IngressSite(stores, 'store = "shop"'), 1, "a").status_code == 202
    assert stored(engine) == [1]


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("store", "why"),
    [
        ('[stores.mail]\nurl = "sqlite:///mail.db"', r"ingress.store = 'shop' .*: expected the name of a table"),
        ('[stores.shop]\nurl = "postgresql+none://db/shop"', "its driver 'none' is not installed"),
        ('[stores.shop]\nurl = "sqlite:///shop.db"\npassword_file = "none"', "password_file"),
    ],
)
def test_a_store_that_cannot_be_used_stops_the_start(store: str, why: str) -> None:
    """The error names the setting."""
    with pytest.raises(SettingsError, match=why):
        IngressSite(f"{AWAY}{store}\n", 'store = "shop"')


@pytest.mark.databases("sqlite")
def test_a_test_records_events_with_keys(engine: Engine, site: IngressSite) -> None:
    """The database is not used."""
    with site.events.testing() as deferred:
        assert [post(site, number, "a").status_code for number in (1, 2)] == [202, 202]
        assert len(deferred) == 1
    assert stored(engine) == []
