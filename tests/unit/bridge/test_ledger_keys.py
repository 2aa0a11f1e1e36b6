"""The signatures of letters and decisions."""

import pytest

from bridge.config.settings import load_settings
from bridge.errors import SettingsError
from bridge.ledger_keys import NO_KEYS, LedgerKeys

KEYS = LedgerKeys(("a" * 16, "b" * 16))


def test_a_signature_is_that_of_its_parts() -> None:
    """Another part, another order, and parts that are cut elsewhere have other signatures."""
    signature = KEYS.signature(b"bridge", b"letter", b"text", b"")

    assert KEYS.prove(signature, b"bridge", b"letter", b"text", b"")
    for parts in (
        (b"bridge", b"letter", b"tex", b"t"),
        (b"other", b"letter", b"text", b""),
        (b"bridge", b"letter", b"text"),
    ):
        assert not KEYS.prove(signature, *parts)


def test_an_earlier_key_verifies_and_does_not_sign() -> None:
    """After a change of the key, the old signatures are believed. The old programs do not believe the new ones."""
    before, other = LedgerKeys(("b" * 16,)), LedgerKeys(("c" * 16,))

    assert KEYS.prove(before.signature(b"x"), b"x")
    assert not before.prove(KEYS.signature(b"x"), b"x")
    assert not other.prove(KEYS.signature(b"x"), b"x")


@pytest.mark.parametrize("claimed", [None, "", "v1,", "v1,AAAA", 7, [1], b"v1", "é", "\ud800"])
def test_what_is_no_signature_proves_nothing(claimed: object) -> None:
    """A header can have any type."""
    assert not KEYS.prove(claimed, b"x")
    assert not NO_KEYS.prove(claimed, b"x")


def test_a_key_is_shown_nowhere() -> None:
    """Neither the keys, nor the settings, nor an error about them have the key in their text."""
    settings = load_settings(
        environ={"BRIDGE_LEDGER_KEY": "s3cret-s3cret-s3cret", "BRIDGE_LEDGER_KEY_PREVIOUS": "b" * 16}
    )
    keys = settings.ledger_keys()

    assert keys.keys == ("s3cret-s3cret-s3cret", "b" * 16)
    assert "s3cret" not in f"{keys!r} {settings!r} {keys.fingerprint()}"
    assert keys.fingerprint() != LedgerKeys((keys.keys[0],)).fingerprint()
    with pytest.raises(SettingsError, match="expected 16 to 256") as raised:
        load_settings(environ={"BRIDGE_LEDGER_KEY": "s3cret"})
    assert "s3cret" not in str(raised.value)


def test_without_a_key_an_earlier_one_changes_nothing() -> None:
    """Only `ledger_key` turns signing on."""
    assert load_settings(environ={"BRIDGE_LEDGER_KEY_PREVIOUS": "b" * 16}).ledger_keys() == NO_KEYS
    assert not NO_KEYS
