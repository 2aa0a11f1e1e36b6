"""A throw-away site for a benchmark: the user's broker and settings, with a namespace and a file that nobody else uses.

On RabbitMQ it is a namespace next to the user's own, on SQLite a new file next to the user's file, so that it is on the
same disk. Its settings are those of the user, without what would act: queues, schedules, watchers, ports. An app that
has an ingress, the page or an outbox needs their tables to start, so they are there, in a directory that nobody else
may read.
"""

import dataclasses
import json
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from bridge.brokers.opening import remove, site_on_broker
from bridge.config.dot_env import SKIP
from bridge.config.environment import CONFIG, variable
from bridge.config.reading import keys_of
from bridge.config.settings import Settings, load_settings
from bridge.config.sqlite_url import is_sqlite, path_in, url_of
from bridge.config.values import Values
from bridge.errors import BridgeError, SettingsError
from bridge.logger import log
from bridge.queues import CATCH_ALL
from bridge.rate import Rate
from bridge.topics import BENCHMARK
from worker.bench import recording

_LEFT_OUT = frozenset(
    {
        *("broker_url", "broker_password_file", "namespace", "queues", "workers", "schedules", "fastcgi", "pool"),
        *("watchers", "http", "control_directory", "publish", "spool", "spool_limit", "public_url"),
        *("replay_secret", "ledger_key", "ledger_key_previous", "retry"),
    }
)
"""The settings that the throw-away site does not take from the user's."""

_TABLES = f"""\
retry = {{attempts = 1}}
[queues.{CATCH_ALL}]
patterns = ["{BENCHMARK}"]
"""
"""One attempt, so that each event is settled once."""

_MOST_OF_NAMESPACE = 40


@dataclass(frozen=True, slots=True)
class ThrowAwaySite:
    """A site that ends with the benchmark. `directory` has its files; `settings` are its own."""

    directory: Path
    settings: Settings
    environment: Mapping[str, str]

    @property
    def file(self) -> Path:
        """The settings' file, for the worker."""
        return self.directory / "bridge.toml"

    @property
    def records(self) -> Path:
        """The file of the worker's records."""
        return self.directory / "records"


@asynccontextmanager
async def throw_away_site(user: Settings, environ: Mapping[str, str]) -> AsyncIterator[ThrowAwaySite]:
    """Make a site from the user's settings, and remove it with all that it made on the broker. `environ` is the
    environment with which the app would run. Raise `SettingsError` if the settings permit no such site."""
    if not user.values.declare and not is_sqlite(user.values.broker_url):
        raise SettingsError(
            f"declare = false (from {user.origin('declare')}): bridge-bench makes a namespace of its own and removes "
            "it: expected declare = true, and a RabbitMQ user who may configure all names"
        )
    directory = Path(tempfile.mkdtemp(prefix="bridge-bench-"))
    place = _next_to_file(user.values.broker_url)
    try:
        yield _made(user, directory, place, environ)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        if place is not None:
            shutil.rmtree(place, ignore_errors=True)


@asynccontextmanager
async def removed_afterwards(settings: Settings) -> AsyncIterator[None]:
    """Remove the site's objects from RabbitMQ at the end of the block. If that fails, log what is left."""
    try:
        yield
    finally:
        try:
            await remove(site_on_broker(settings))
        except BridgeError as error:
            log.error("objects of the namespace %r are left on the broker: %s", settings.values.namespace, error)


def _next_to_file(url: str) -> Path | None:
    """Return a new directory on the disk of the user's SQLite file; None for RabbitMQ."""
    if not is_sqlite(url):
        return None
    folder = Path(path_in(url)).parent
    try:
        return Path(tempfile.mkdtemp(prefix="bridge-bench-", dir=folder))
    except OSError as error:
        raise SettingsError(f"broker_url: no directory can be made in {folder}, where its file is: {error}") from error


def _made(user: Settings, directory: Path, place: Path | None, environ: Mapping[str, str]) -> ThrowAwaySite:
    values = user.values
    kept = {key: getattr(values, key) for key in user.origins if key not in _LEFT_OUT}
    own = {
        "broker_url": values.broker_url if place is None else url_of(str(place / "bridge.db")),
        "namespace": f"{values.namespace[:_MOST_OF_NAMESPACE]}-bench-{secrets.token_hex(4)}",
        "watchers": (f"{recording.__name__}:watch",),
        "control_directory": str(directory / "control"),
    }
    lines = [f"{key} = {_toml(value)}\n" for key, value in (kept | own).items() if value is not None]
    file = directory / "bridge.toml"
    file.write_text("".join(lines) + _TABLES, "utf-8")
    settings_variables = {CONFIG, *map(variable, keys_of(Values))}
    others = {name: value for name, value in environ.items() if name not in settings_variables}
    # The children read .env too, which is stronger than the file: `environ` has it already, without its settings.
    environment = {**others, SKIP: "1", recording.FILE: str(directory / "records")}
    return ThrowAwaySite(directory, load_settings(environ={}, file=str(file)), environment)


def _toml(value: object) -> str:
    """Return a checked value of a setting in TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, timedelta):
        return f'"{value / timedelta(milliseconds=1):.0f}ms"'
    if isinstance(value, Rate):
        return f'"{value.events:.9f}/{value.unit}"'
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_toml, value))}]"
    if dataclasses.is_dataclass(value):
        value = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_toml(key)} = {_toml(each)}' for key, each in value.items() if each is not None)}}}"
    return json.dumps(value, ensure_ascii=False)
