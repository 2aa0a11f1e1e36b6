"""The character NUL, which no path, name or argument of a program can have: it is refused where settings are read."""

from pathlib import Path

import pytest

from bridge.config.settings import load_settings
from bridge.errors import SettingsError


@pytest.mark.parametrize(
    "toml",
    [
        r'spool = "a\u0000b"',
        r'broker_password_file = "a\u0000b"',
        r'tls_ca = "a\u0000b"',
        r'tls_cert = "a\u0000b"',
        r'tls_key = "a\u0000b"',
        r'control_directory = "a\u0000b"',
        r'file_group = "a\u0000b"',
        r'broker_url = "sqlite:///a\u0000b"',
        r'broker_url = "sqlite:///a%00b"',
        r'broker_url = "amqps://host/?cafile=a%00b"',
        '[fastcgi]\naddresses = ["unix:/a\\u0000b"]',
        '[fastcgi]\nscript_filename = "/a\\u0000b"',
        '[pool]\nbind = "127.0.0.1:1"\nsocket_group = "a\\u0000b"',
        '[workers.a]\napp = "a\\u0000b"',
        '[stores.a]\nurl = "postgresql://host/shop"\npassword_file = "a\\u0000b"',
        '[stores.a]\nurl = "sqlite+pysqlite:///a\\u0000b"',
        '[stores.a]\nurl = "redis://host/0"\npassword_file = "a\\u0000b"',
        '[stores.a]\nurl = "rediss://host/0?ssl_ca_certs=a%00b"',
        '[stores.a]\nurl = "unix:///a%00b"',
    ],
)
def test_a_value_with_nul_is_refused(toml: str, tmp_path: Path) -> None:
    """The message has the key, and the programs do not end with a traceback when they use the value."""
    (tmp_path / "bridge.toml").write_text(toml)

    with pytest.raises(SettingsError, match=r"^[a-z_.0]+ = .*: .*expected ") as error:
        load_settings(environ={}, file=str(tmp_path / "bridge.toml"))

    assert "embedded" not in str(error.value)
