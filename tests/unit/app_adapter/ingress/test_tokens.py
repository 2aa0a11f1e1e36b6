"""Tokens: who may do what, and how `bridge-ingress` makes them."""

import hmac
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from app_adapter.ingress import access, create_app
from app_adapter.ingress.access import hash_of
from app_adapter.ingress_cli import main
from app_adapter.testing import Recording
from bridge.errors import SettingsError
from tests.unit.app_adapter.ingress.ingress_site import IngressSite


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", "Basic t-all", "Bearer t-al", "t-all"])
def test_without_a_known_token_nobody_is_let_in(
    site: IngressSite, deferred: Recording, authorization: str | None
) -> None:
    """The answer names the scheme, as RFC 9110 wants it."""
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = site.post("/events/order.paid", token="", **headers)

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert not list(deferred)


@pytest.mark.parametrize(
    ("name", "headers", "detail"),
    [
        ("mail.sent", {}, "expected one of its events: order.*; not 'mail.sent'"),
        ("order.paid", {"Prefer": "wait=1"}, "expected a token with the right call"),
    ],
)
def test_a_token_has_its_rights_alone(
    site: IngressSite, deferred: Recording, name: str, headers: dict[str, str], detail: str
) -> None:
    """To events of its patterns."""
    answer = site.post(f"/events/{name}", token="t-orders", **headers)

    assert answer.status_code == 403
    assert detail in answer.get_json(force=True)["detail"]
    assert not list(deferred)


@pytest.mark.parametrize(
    ("patterns", "name", "status"),
    [
        ('"#"', "signal.order-paid.shop.mail.send", 403),
        ('"#.send"', "signal.order-paid.shop.mail.send", 403),
        ('"*.order-paid.#"', "signal.order-paid.shop.mail.send", 403),
        ('"order.#", "signal.#"', "signal.order-paid.shop.mail.send", 202),
        ('"signal.order-paid.*"', "signal.order-paid.send", 202),
        ('"signal.order-paid.*"', "signal.order-sent.send", 403),
        ('"#"', "method.article.publish", 403),
        ('"method.article.*"', "method.article.publish", 202),
        ('"#"', "signals.sent", 202),
        ('"#"', "signal", 202),
        ('"#", "bridge.#"', "bridge.worker.missing", 422),
    ],
)
def test_a_token_reaches_the_apps_own_receivers_only_by_their_names(patterns: str, name: str, status: int) -> None:
    """`#` and `*` do not stand for their first word. Nobody may send the events of the bridge."""
    tables = f'[ingress.tokens.own]\nhash = "{hash_of("t-own")}"\nevents = [{patterns}]'
    site = IngressSite(ingress=tables)
    with site.events.testing() as deferred:
        answer = site.post(f"/events/{name}", token="t-own")
        assert (answer.status_code, len(deferred)) == (status, int(status == 202))
    if status == 403:
        beginning = f"{name.partition('.')[0]}."
        assert f"which needs a pattern that begins with {beginning!r}" in answer.get_json(force=True)["detail"]


def test_two_tokens_are_valid_while_one_replaces_the_other(site: IngressSite, deferred: Recording) -> None:
    """Each by its own table."""
    for token in ("t-all", "t-orders"):
        assert site.post("/events/order.paid", token=token).status_code == 202


def test_every_hash_is_compared_in_constant_time(site: IngressSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever of them is the right one."""
    compared: list[bytes] = []

    def compare(known: bytes, given: bytes) -> bool:
        compared.append(known)
        return hmac.compare_digest(known, given)

    monkeypatch.setattr(access, "compare_digest", compare)
    for token in ("t-all", "t-orders", "t-none"):
        site.post("/events/no..name", token=token)
    assert compared == [hash_of("t-all").encode(), hash_of("t-orders").encode()] * 3


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ('hash = "t-all"\nevents = ["#"]', r"ingress.tokens.a.hash .*: expected 'sha256:' and 64"),
        (f'hash = "{hash_of("a")}"', r"ingress.tokens.a.events .*: expected a value"),
        (f'hash = "{hash_of("a")}"\nevents = ["#"]\nrights = ["see"]', r"rights.*: expected 'defer', 'call' or 'read'"),
        (
            f'hash = "{hash_of("a")}"\nevents = ["#"]\n[ingress.tokens.b]\nhash = "{hash_of("a")}"\nevents = []',
            r"ingress.tokens.b.hash .*: expected a token of its own; ingress.tokens.a has the same",
        ),
    ],
)
def test_a_wrong_table_is_refused_at_the_start(table: str, why: str) -> None:
    """And the value, which may be a token, is not shown."""
    Path("bridge.toml").write_text(f"[ingress.tokens.a]\n{table}\n")
    with pytest.raises(SettingsError, match=why) as caught:
        create_app()
    assert "t-all" not in str(caught.value)


def test_a_token_is_made_with_its_table() -> None:
    """The printed table lets the printed token in, and nothing else is stored."""
    words = ["token", "shop", "--events", "order.*", "--right", "defer", "--right", "read"]
    printed = CliRunner().invoke(main, words).stdout

    table = printed.partition("In bridge.toml:\n")[2]
    token = printed.splitlines()[0].rpartition(" ")[2]
    Path("bridge.toml").write_text(table)
    client = create_app().extensions["deferred_events"].settings.values.ingress.tokens["shop"]
    assert (client.hash, client.events, client.rights) == (hash_of(token), ("order.*",), ("defer", "read"))
    assert token not in table
    again = CliRunner().invoke(main, words)
    assert (again.exit_code, again.stderr) == (2, "Error: ingress.tokens.shop exists: expected another name\n")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["ana@example.org"], "expected a name of A-Z a-z 0-9 _ -"),
        (["ana.lopez"], "expected a name of A-Z a-z 0-9 _ -"),
        (["my shop"], "expected a name of A-Z a-z 0-9 _ -"),
        (["s" * 61], "at most 60 characters"),
        (["shop", "--events", "mail.*", "--events", "order#"], "'order#'"),
    ],
)
def test_no_token_is_made_that_the_settings_refuse(words: list[str], why: str) -> None:
    """Nothing is printed but what was expected."""
    refused = CliRunner().invoke(main, ["token", *words])
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert why in refused.stderr


def test_each_token_is_another() -> None:
    """And long enough that it cannot be guessed."""
    made = [json.loads(CliRunner().invoke(main, ["token", "shop", "--json"]).stdout) for _ in range(2)]
    assert made[0]["token"] != made[1]["token"]
    assert all(len(each["token"]) > 40 and each["hash"] == hash_of(each["token"]) for each in made)
