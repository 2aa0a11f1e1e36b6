"""The parameters of RabbitMQ's URL."""

import pytest

from bridge.brokers.contract.tls import DEFAULT_TLS, Tls
from bridge.config.amqp_parameters import read_parameters

SETTINGS = Tls("ca.pem", "cert.pem", "key.pem")


def tls_of(query: str, tls: Tls = DEFAULT_TLS) -> Tls:
    """Return the TLS settings of a URL with amqps."""
    return read_parameters(query, tls, secure=True)[0]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {"heartbeat": "10"}),
        ("heartbeat=77", {"heartbeat": "77"}),
        ("heartbeat=0&name=shop%20web", {"heartbeat": "0", "name": "shop web"}),
        ("auth=EXTERNAL&timeout=5", {"heartbeat": "10", "auth": "external", "timeout": "5"}),
        (
            "happy_eyeballs_delay=0.25&interleave=1",
            {"heartbeat": "10", "happy_eyeballs_delay": "0.25", "interleave": "1"},
        ),
    ],
)
def test_parameters_of_the_client(query: str, expected: dict[str, str]) -> None:
    """They are checked and passed on; a heartbeat is always set."""
    assert read_parameters(query, DEFAULT_TLS, secure=False) == (DEFAULT_TLS, expected)


@pytest.mark.parametrize("word", ["false", "False", "0", "no", "off"])
def test_no_verify_ssl_false_verifies(word: str) -> None:
    """The word counts, and not its presence; it is stronger than the setting."""
    assert tls_of(f"no_verify_ssl={word}").verify
    assert tls_of(f"no_verify_ssl={word}", Tls(verify=False)).verify


@pytest.mark.parametrize("word", ["true", "1", "yes", "on"])
def test_no_verify_ssl_true_does_not_verify(word: str) -> None:
    """Any word for yes turns the check off."""
    assert not tls_of(f"no_verify_ssl={word}").verify


def test_files_in_the_url_are_stronger_than_settings() -> None:
    """What the URL does not name comes from the settings."""
    assert tls_of("cafile=/a%20b/ca.pem", SETTINGS) == Tls("/a b/ca.pem", "cert.pem", "key.pem")
    assert tls_of("certfile=c&keyfile=k&capath=d&cadata=aGk=", SETTINGS) == Tls("ca.pem", "c", "k", True, "d", b"hi")
    assert tls_of("", SETTINGS) == SETTINGS


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("heartbeet=5", r"unknown parameter 'heartbeet': expected 'heartbeat'"),
        ("verify=false", r"unknown parameter 'verify': expected"),
        ("ca_file=x", r"unknown parameter 'ca_file': expected 'cafile'"),
        ("no_verify_tls=1", r"unknown parameter 'no_verify_tls': expected 'no_verify_ssl'"),
        ("ssl_options=x", r"unknown parameter 'ssl_options'"),
        ("xyz", r"unknown parameter 'xyz': expected one of auth, cadata, .*"),
        ("word@host", r"unknown parameter; write \? in a password as %3F; expected one of auth, cadata, .*"),
        ("heartbeat=", r"parameter heartbeat: expected a number"),
        ("heartbeat=soon", r"parameter heartbeat: expected a number"),
        ("heartbeat=2.5", r"expected a whole number"),
        ("heartbeat=70000", r"65534 or less"),
        ("no_verify_ssl=maybe", r"parameter no_verify_ssl: expected true or false"),
        ("no_verify_ssl", r"parameter no_verify_ssl: expected true or false"),
        ("auth=gssapi", r"parameter auth: expected 'plain' or 'external'"),
        ("cadata=!!", r"parameter cadata: expected certificates"),
        ("cafile=", r"parameter cafile: expected 1 characters or more"),
    ],
)
def test_wrong_parameters_are_refused_by_name(query: str, words: str) -> None:
    """A parameter that is ignored would be a promise that nobody keeps."""
    with pytest.raises(ValueError, match=words):
        tls_of(query)


@pytest.mark.parametrize("query", ["cafile=ca.pem", "no_verify_ssl=false", "certfile=x&keyfile=y"])
def test_tls_without_amqps_is_refused(query: str) -> None:
    """The URL looks secure, and the connection would not be."""
    with pytest.raises(ValueError, match="expected amqps://"):
        read_parameters(query, DEFAULT_TLS, secure=False)
