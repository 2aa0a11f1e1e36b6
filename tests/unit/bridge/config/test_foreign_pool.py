"""The `[fastcgi]` table: the settings of a foreign pool."""

import pytest

from bridge.config.foreign_pool import Address, ForeignPoolSettings
from bridge.public_url import PublicUrl
from bridge.request import ReplayTarget
from bridge.trust import Trust
from tests.unit.bridge.config.test_settings import _empty_directory, failure, load

__all__ = ["_empty_directory"]


def pool(toml: str = "", **line: object) -> ForeignPoolSettings:
    """Return the pool of this table and this command line."""
    settings = load("[fastcgi]\n" + toml, command_line={"fastcgi": line} if line else None)
    assert settings.values.fastcgi is not None
    return settings.values.fastcgi


def test_there_is_none_unless_it_is_named() -> None:
    """Without the table, the worker runs its own pool."""
    assert load().values.fastcgi is None


def test_each_address_has_its_connections() -> None:
    """An address has its own number of connections, or the number of the pool."""
    settings = pool("addresses = ['unix:/run/a.sock', {address = '10.0.0.2:9000', connections = 8}]\nconnections = 3")
    assert settings.connections_by_address == {Address("/run/a.sock"): 3, Address(host="10.0.0.2", port=9000): 8}
    assert settings.size == 11


def test_the_command_line_changes_what_it_names_and_leaves_the_rest() -> None:
    """Addresses on the command line replace those of the file and keep the other settings of the pool."""
    settings = pool("addresses = ['a:1']\nscript_filename = '/srv/shop.php'\nconnections = 2", addresses=("b:2",))
    assert list(settings.connections_by_address) == [Address(host="b", port=2)]
    assert (settings.script_filename, settings.connections) == ("/srv/shop.php", 2)


def test_the_status_and_kept_connections_are_used_on_request_only() -> None:
    """By default, each request has its own connection, and only the receiver's verdict counts."""
    assert (pool().trust, pool().keep_connection) == (Trust.RECEIVER, False)
    assert pool("trust = 'status'\nkeep_connection = true").trust is Trust.STATUS


def test_the_target_has_the_parameters_of_the_settings() -> None:
    """Every replay carries the script, its root, and the parameters of the settings."""
    settings = pool(
        "host = 'shop.example'\nscript_filename = '/srv/a.php'\ndocument_root = '/srv'\nparams = {APP_ENV = 'live'}"
    )
    fixed = {"SCRIPT_FILENAME": "/srv/a.php", "DOCUMENT_ROOT": "/srv", "APP_ENV": "live"}
    url = PublicUrl("https", "other.example", "/m")
    assert settings.target("/in", url) == ReplayTarget("/in", PublicUrl("https", "shop.example", "/m"), fixed)


def test_the_parameters_of_the_settings_may_name_a_query() -> None:
    """No other parameter that a replay sets itself is accepted."""
    target = pool("params = {QUERY_STRING = 'route=events'}").target("/in", PublicUrl())
    assert target.fixed == {"QUERY_STRING": "route=events"}


def test_the_target_has_the_shared_secret() -> None:
    """The worker sends it with every replay."""
    target = pool().target("/in", PublicUrl(), "the-secret-of-the-site")
    assert target.fixed == {"BRIDGE_SECRET": "the-secret-of-the-site"}


def test_without_a_host_the_target_has_the_public_url() -> None:
    """`public_url` is the app's, whatever pool it runs in."""
    url = PublicUrl("https", "shop.example", "/m")
    assert pool().target("/in", url) == ReplayTarget("/in", url)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("unix:/run/a.sock", Address("/run/a.sock")),
        ("localhost:9000", Address(host="localhost", port=9000)),
        ("[::1]:9000", Address(host="::1", port=9000)),
    ],
)
def test_an_address_is_written_as_it_is_read(text: str, address: Address) -> None:
    """An address is the path of a socket, or a host and a port, and prints as the same text."""
    assert Address.parsed(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    ["", "unix:", "unix:run/a.sock", "/run/a.sock", "unix:/a\0b", "h", "h:", ":1", "h:0", "h:65536", "::1:9000", 9000],
)
def test_anything_else_is_no_address(text: object) -> None:
    """The error of an invalid address shows the two valid forms."""
    with pytest.raises(ValueError, match="expected 'unix:/absolute/path' or 'host:port'"):
        Address.parsed(text)


def test_a_path_that_no_socket_can_have_is_refused() -> None:
    """The path of a socket has at most 107 bytes, which is the system's limit."""
    assert Address.parsed("unix:/" + "x" * 106)
    with pytest.raises(ValueError, match="at most 107 bytes"):
        Address.parsed("unix:/" + "x" * 107)


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("addresses = ['run/a']", "fastcgi.addresses.0.address = 'run/a'"),
        ("addresses = ['a:1', 'a:1']", "expected each address once"),
        ("addresses = [{address = 'a:1', weight = 1}]", "no such setting; expected one of address, connections"),
        ("connections = 0", "expected a whole number, 1 or more"),
        ("trust = 'blindly'", "expected 'receiver' or 'status'"),
        ("script_filename = 'shop.php'", "expected an absolute path"),
        ("host = 'a/b'", "expected a host name"),
        ("params = {HTTP_PROXY = 'evil:80'}", "fastcgi.params.HTTP_PROXY"),
        ("params = {SCRIPT_FILENAME = '/x'}", "fastcgi.params.SCRIPT_FILENAME"),
        ("params = {'php-value' = '/x'}", "fastcgi.params.php-value"),
        ("children = 4", "no such setting; expected one of addresses, connections"),
    ],
)
def test_a_bad_value_is_named_with_what_was_expected(toml: str, message: str) -> None:
    """The error of an invalid value in `[fastcgi]` names the setting and what was expected."""
    assert message in failure("[fastcgi]\n" + toml)
