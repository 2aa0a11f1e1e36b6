"""The settings: read in layers, checked once, frozen, and passed to the code that needs them. No settings are global.

The layers, the strongest first: command line, Flask's `BRIDGE_*` config, `BRIDGE_*` environment variables,
`bridge.toml`. Only the app reads Flask's config, so a setting that only a worker uses is refused there. The notation of
single values is in `notation`; tables are read in `reading`.
"""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.brokers.contract.tls import Tls
from bridge.config.environment import CONFIG, PREFIX, of_environment, unknown_variables, variable
from bridge.config.hiding import has_password, shown
from bridge.config.password_file import with_password
from bridge.config.reading import Problem, Unreadable, keys_of, table
from bridge.config.settings_file import settings_file
from bridge.config.sidekiq_settings import SidekiqSettings
from bridge.config.sqlite_url import is_sqlite, path_in, url_of
from bridge.config.store_settings import StoreSettings
from bridge.config.values import RetrySettings, Values
from bridge.errors import SettingsError
from bridge.ledger_keys import LedgerKeys
from bridge.local_database.one_name import one_name
from bridge.looking import working_directory
from bridge.queues import Queue, route
from bridge.retry_table import RetryTable

if TYPE_CHECKING:
    from bridge.schedule import Schedule

log = logging.getLogger("bridge")

COMMAND_LINE = "command line"

_OF_THE_APP = frozenset(
    {
        *("broker_url", "namespace", "source", "release", "replay_path", "public_url", "publish_timeout", "max_body"),
        *("publish", "spool", "spool_limit", "file_group", "broker_password_file"),
    }
)
"""The settings that the app uses, so Flask's config may set them."""
_FILES = ("tls_ca", "tls_cert", "tls_key")
"""Files that programs only read. A relative path is relative to `bridge.toml`, or to the working directory."""
_IN_THE_FILE_ALONE = (
    *("queues", "retry", "fastcgi", "workers", "schedules", "pool", "history", "stores", "ingress"),
    "dashboard",
)


_KEYS = keys_of(Values)
_read_values = table(Values)


@dataclass(frozen=True, slots=True)
class Settings:
    """The values, and the origin of each value that is not a default. `file` is the `bridge.toml` that was read."""

    values: Values
    origins: Mapping[str, str]
    file: Path | None

    def origin(self, key: str) -> str:
        """Return the origin of a setting's value, for messages."""
        return self.origins.get(key, "default")

    def tls(self) -> Tls:
        """Return how connections to RabbitMQ and to its management are secured."""
        return Tls(self.values.tls_ca, self.values.tls_cert, self.values.tls_key, self.values.tls_verify)

    def ledger_keys(self) -> LedgerKeys:
        """Return the keys of the ledger, the one that signs first."""
        keys = (self.values.ledger_key, self.values.ledger_key_previous)
        return LedgerKeys(tuple(key for key in keys if key is not None) if keys[0] is not None else ())

    def queues(self) -> tuple[Queue, ...]:
        """Return the queues of the site; without a `[queues]` table, only the catch-all."""
        return tuple(
            Queue(
                name=name,
                patterns=queue.patterns,
                deadline=queue.deadline or self.values.deadline,
                deadline_at_most=queue.deadline_at_most or self.values.deadline_at_most,
                retry=_retry(queue.retry or self.values.retry),
                slots=1 if queue.ordered else queue.slots,
                expired=queue.expired,
                priority=queue.priority,
                weight=queue.weight,
                ordered=queue.ordered,
                rate=queue.rate,
                burst=queue.burst,
                site_slots=queue.site_slots,
                breaker=queue.breaker,
                foreign=None if queue.foreign is None else queue.foreign.source(),
            )
            for name, queue in self.values.queues.items()
        )

    def schedules(self) -> "tuple[Schedule, ...]":
        """Return the schedules of the site. Raise `SettingsError` for an event that no queue takes."""
        if not self.values.schedules:
            return ()
        from bridge.schedule import Schedule

        for name, schedule in self.values.schedules.items():
            if not route(self.queues(), schedule.event):
                origin = self.origin("schedules")
                raise SettingsError(
                    f"schedules.{name}.event = {schedule.event!r} (from {origin}): expected an event that a queue takes"
                )
        return tuple(
            Schedule(name, each.event, each.cron, each.timezone, each.payload, each.catch_up)
            for name, each in self.values.schedules.items()
        )


def load_settings(
    *,
    command_line: Mapping[str, Any] | None = None,
    flask_config: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    file: str | None = None,
) -> Settings:
    """Read, merge and check the settings. `file` is the path of the settings file; without it, `BRIDGE_CONFIG` is, or
    else the nearest `bridge.toml` in the working directory or above it. Only that last one may be missing.

    Raise `SettingsError`, which names the key, the value, its origin, and what was expected.
    """
    environ = os.environ if environ is None else environ
    path = settings_file(file or environ.get(CONFIG) or None)
    layers = [
        (f"{path}".replace("{", "{{").replace("}", "}}"), {} if path is None else _read(path)),
        ("environment variable {}", _of_environment(environ)),
        ("Flask's config", _of_flask(flask_config or {})),
        (COMMAND_LINE, {key: value for key, value in (command_line or {}).items() if value is not None}),
    ]
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for origin, layer in layers:
        values.update(_merged(values, layer))
        origins.update((key, origin.format(PREFIX + key.upper())) for key in layer)
    try:
        checked = _read_values(values)
    except Unreadable as error:
        raise SettingsError("\n".join(_sentence(problem, origins) for problem in error.problems)) from error
    base = path.parent if path is not None else working_directory()
    files: dict[str, Any] = {key: str(base / value) for key in _FILES if (value := getattr(checked, key)) is not None}
    spool = str(one_name(base / checked.spool))
    stores = {name: _resolved_store(store, base) for name, store in checked.stores.items()}
    resolved = replace(checked, broker_url=_resolved(checked, base, origins), spool=spool, stores=stores, **files)
    if origins.get("broker_url") == COMMAND_LINE and has_password(checked.broker_url):
        log.warning(
            "broker_url (from command line) has a password, which every user of this machine can see in the list of "
            "processes; set broker_password_file instead"
        )
    return Settings(resolved, origins, path)


def _merged(values: Mapping[str, Any], layer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the values of the layer, which replace those of the weaker layers. The `[fastcgi]` table is merged key by
    key, so that the command line can change a part of it."""
    weaker, stronger = values.get("fastcgi"), layer.get("fastcgi")
    if isinstance(weaker, Mapping) and isinstance(stronger, Mapping):
        return {**layer, "fastcgi": {**weaker, **stronger}}
    return layer


def _read(path: Path) -> Mapping[str, Any]:
    import tomllib  # imported here, because many processes have no settings file

    try:
        return tomllib.loads(path.read_text("utf-8-sig"))
    except (ValueError, RecursionError, OSError) as error:  # ValueError: no UTF-8, no TOML, or a number of 5,000 digits
        raise SettingsError(f"{path}: expected a TOML file: {error}") from error


def _of_environment(environ: Mapping[str, str]) -> Mapping[str, Any]:
    """Return the settings in the environment, and warn of `BRIDGE_*` variables that are none."""
    for sentence in unknown_variables(environ, _KEYS):
        log.warning("%s", sentence)
    given = of_environment(environ, _KEYS)
    for key in _IN_THE_FILE_ALONE:
        if key in given:
            raise SettingsError(
                f"{key} = {shown(key, given[key])} (from environment variable {variable(key)}): expected it in "
                "bridge.toml: an environment variable cannot hold a table"
            )
    return given


def _of_flask(config: Mapping[str, Any]) -> Mapping[str, Any]:
    given = {key.removeprefix(PREFIX).lower(): value for key, value in config.items() if key.startswith(PREFIX)}
    for key in given.keys() & (set(_KEYS) - _OF_THE_APP):
        place = (
            "bridge.toml, which the app, the worker and the tools all read"
            if key in _IN_THE_FILE_ALONE
            else f"bridge.toml, the environment ({PREFIX}{key.upper()}) or the command line, where the worker reads it"
        )
        raise SettingsError(f"{key} = {shown(key, given[key])} (from Flask's config): expected it in {place}")
    return given


def _resolved(checked: Values, base: Path, origins: Mapping[str, str]) -> str:
    """Return the broker's URL, complete: an SQLite file by the one name by which programs recognise it, RabbitMQ with
    the password from its file."""
    url, file = checked.broker_url, checked.broker_password_file
    if is_sqlite(url):
        return url_of(str(one_name(base / path_in(url))))
    if file is None:
        return url
    try:
        return with_password(url, base / file, "broker_url", "amqp://shop@host/")
    except ValueError as error:
        origin = origins.get("broker_password_file", "default")
        raise SettingsError(f"broker_password_file (from {origin}): {error}") from None


def _resolved_store(store: StoreSettings | SidekiqSettings, base: Path) -> StoreSettings | SidekiqSettings:
    """Return a store with complete paths. Only the programs that use the store read its password."""
    if isinstance(store, StoreSettings) and is_sqlite(store.url):
        return replace(store, url=url_of(str(one_name(base / path_in(store.url)))))
    return replace(store, password_file=None if store.password_file is None else str(base / store.password_file))


def _retry(retry: RetrySettings | str) -> RetryTable | str:
    return retry if isinstance(retry, str) else retry.table()


def _sentence(problem: Problem, origins: Mapping[str, str]) -> str:
    """Return a line about a problem: `key = value (from origin): expected …`."""
    key = ".".join(problem.path)
    return f"{key} = {shown(key, problem.value)} (from {origins.get(problem.path[0], 'default')}): {problem.expected}"
