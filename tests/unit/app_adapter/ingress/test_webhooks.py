"""Signatures of Standard Webhooks, by the test vector of the standard."""

from base64 import b64decode, b64encode
from hmac import digest
from pathlib import Path

import pytest

from app_adapter.ingress import create_app
from app_adapter.testing import Recording
from bridge.errors import SettingsError
from tests.unit.app_adapter.ingress.ingress_site import IngressSite

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + b64encode(b"another secret of a sender").decode()
AT = 1614265330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
VECTOR = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": str(AT),
    "webhook-signature": SIGNATURE,
    "Content-Type": "application/json",
}
TABLE = f'[ingress.webhooks.payments]\nsecrets = ["{OTHER}", "{SECRET}"]\nevents = ["payment.*"]\n'


@pytest.fixture(autouse=True)
def _then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app_adapter.ingress.routes.time.time", lambda: AT + 299.0)


@pytest.fixture
def site() -> IngressSite:
    """An ingress with a sender of webhooks."""
    return IngressSite(TABLE)


def signed_by(secret: str, content: bytes) -> str:
    """Return the signature of a content by a secret."""
    return "v1," + b64encode(digest(b64decode(secret.removeprefix("whsec_")), content, "sha256")).decode()


def test_the_vector_of_the_standard_is_taken(site: IngressSite, deferred: Recording) -> None:
    """Without a token. The id of the webhook is the key of the event."""
    answer = site.post("/events/payment.changed", BODY, token="", **VECTOR)

    [event] = deferred
    assert (answer.status_code, answer.get_json()) == (202, {"id": event.id})
    assert (event.event.data, event.handling.key) == (BODY, "msg_p5jXN8AQM9LWM0D4loKWxJek")


@pytest.mark.parametrize(
    "signatures",
    [
        f"v1,AAAA v1a,{SIGNATURE} {SIGNATURE}",
        signed_by(OTHER, b"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330." + BODY),
    ],
)
def test_one_signature_of_several_is_enough(site: IngressSite, deferred: Recording, signatures: str) -> None:
    """By the new secret or by the old one."""
    answer = site.post("/events/payment.changed", BODY, token="", **VECTOR | {"webhook-signature": signatures})
    assert answer.status_code == 202


@pytest.mark.parametrize(
    ("changed", "body", "detail"),
    [
        ({}, BODY + b" ", "webhook-signature: expected a signature v1"),
        ({"webhook-id": "msg_other"}, BODY, "webhook-signature: expected a signature v1"),
        ({"webhook-signature": ""}, BODY, "webhook-signature: expected a signature v1"),
        ({"webhook-signature": SIGNATURE[3:]}, BODY, "webhook-signature: expected a signature v1"),
        ({"webhook-signature": SIGNATURE.replace("v1", "v2")}, BODY, "webhook-signature: expected a signature v1"),
        ({"webhook-signature": "v1,\xff"}, BODY, "webhook-signature: expected a signature v1"),
        ({"webhook-timestamp": str(AT - 2)}, BODY, "webhook-timestamp='1614265328': expected seconds since 1970"),
        ({"webhook-timestamp": str(AT + 600)}, BODY, "webhook-timestamp='1614265930': expected seconds since 1970"),
        ({"webhook-timestamp": f"00{AT}99"}, BODY, "webhook-timestamp='00161426533099': expected seconds since 1970"),
        ({"webhook-timestamp": "9" * 5000}, BODY, "expected seconds since 1970"),
        ({"webhook-timestamp": "now"}, BODY, "webhook-timestamp='now': expected seconds since 1970"),
        ({"webhook-timestamp": None}, BODY, "webhook-timestamp=None: expected it beside webhook-signature"),
        ({"webhook-id": None}, BODY, "webhook-id=None: expected it beside webhook-signature"),
    ],
)
def test_a_wrong_signature_is_refused(
    site: IngressSite, deferred: Recording, changed: dict[str, str | None], body: bytes, detail: str
) -> None:
    """Also one of another time, or of an unknown version."""
    headers = {name: value for name, value in (VECTOR | changed).items() if value is not None}
    answer = site.post("/events/payment.changed", body, token="", **headers)
    assert answer.status_code == 401
    assert detail in answer.get_json(force=True)["detail"]
    assert not list(deferred)


def test_a_sender_may_defer_its_events_alone(site: IngressSite, deferred: Recording) -> None:
    """And make no calls."""
    for path, headers in (("/events/order.paid", {}), ("/events/payment.changed", {"Prefer": "wait=5"})):
        assert site.post(path, BODY, token="", **VECTOR, **headers).status_code == 403
    assert not list(deferred)


def test_webhooks_need_no_tokens() -> None:
    """An ingress for them alone starts."""
    Path("bridge.toml").write_text(TABLE)
    assert create_app().test_client().post("/events/payment.changed").status_code == 401


@pytest.mark.parametrize("secrets", ['["plain"]', '["whsec_c2hvcnQ="]', '["whsec_?"]', "[17]", "[]"])
def test_a_wrong_secret_is_refused_at_the_start(secrets: str) -> None:
    """And is not shown."""
    Path("bridge.toml").write_text(f'[ingress.webhooks.payments]\nsecrets = {secrets}\nevents = ["#"]\n')
    with pytest.raises(SettingsError, match=r"ingress.webhooks.payments.secrets.*: expected") as caught:
        create_app()
    assert secrets.strip('[]"') in ("", "17") or secrets.strip('[]"') not in str(caught.value)
