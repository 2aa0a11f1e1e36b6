"""Settings: read in layers, checked once, frozen, and passed in. There is no global.

The layers, the strongest first: command line, Flask's `BRIDGE_*` config, the environment's `BRIDGE_*`, `bridge.toml`.
Flask's config is the app's alone, so it is refused what only a worker reads.
Pydantic checks the values; the layering is ours, because a message about a bad value must say where it came from.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bridge.errors import SettingsError
from bridge.foreign_pool import ForeignPoolSettings, ServerSettings
from bridge.notation import (
    BrokerUrl,
    Count,
    Duration,
    HttpUrl,
    Patterns,
    PlainName,
    PolicyReader,
    PositiveCount,
    PositiveDuration,
    Room,
    Size,
    UrlPath,
    expected,
    without_password,
)
from bridge.queues import CATCH_ALL, Queue
from bridge.retry_table import DEFAULT, RetryTable

FILE_NAME = "bridge.toml"
PREFIX = "BRIDGE_"
CONFIG = "BRIDGE_CONFIG"
COMMAND_LINE = "command line"

_OF_THE_APP = frozenset(
    {
        *("broker_url", "namespace", "source", "release", "replay_path", "publish_timeout", "max_body"),
        *("publish", "spool", "spool_limit"),
    }
)
"""What the app reads, and so what Flask's config may say."""
_IN_THE_FILE_ALONE = ("queues", "retry", "fastcgi")


class _Checked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class RetrySettings(_Checked):
    """`retry = {…}` of a queue, or of all queues."""

    attempts: PositiveCount = DEFAULT.attempts
    initial: PositiveDuration = DEFAULT.initial
    base: float = Field(default=DEFAULT.base, ge=1)
    max: PositiveDuration = DEFAULT.max
    jitter: float = Field(default=DEFAULT.jitter, ge=0, le=1)

    def table(self) -> RetryTable:
        """Return it as the policy reads it."""
        return RetryTable(self.attempts, self.initial, self.base, self.max, self.jitter)


Retry = Annotated[RetrySettings | str, PolicyReader]


class QueueSettings(_Checked):
    """`[queues.<name>]`."""

    patterns: Patterns = ()
    deadline: PositiveDuration | None = None
    retry: Retry | None = None
    slots: PositiveCount | None = None


class Values(_Checked):
    """Every setting, with its default."""

    broker_url: BrokerUrl = "sqlite:///bridge.db"
    namespace: PlainName = "bridge"
    declare: bool = True
    """Whether programs declare what they need on RabbitMQ; where not, they look whether it is there."""
    management_url: HttpUrl | None = None
    source: str | None = Field(default=None, min_length=1, max_length=200)
    release: str | None = Field(default=None, max_length=200)
    replay_path: UrlPath = "/_bridge"
    publish_timeout: PositiveDuration = timedelta(seconds=2)
    max_body: Size = 1024**2
    publish: Literal["confirm", "spool"] = "confirm"
    """What `defer()` does where the broker does not answer in time: raise, or put the event into the local spool."""
    spool: str = Field(default="bridge-spool.db", min_length=1)
    spool_limit: Room = 1024**3
    children: PositiveCount = Field(default_factory=lambda: os.cpu_count() or 1)
    spare: Count = 1
    """Children that are warm and take nothing until another is lost. One covers any single loss; each costs memory."""
    preload: bool = False
    max_requests: Count = 0
    """A child is replaced after so many requests, or a little fewer; 0: never. So with `max_age` and `max_memory`."""
    max_age: Duration = timedelta(0)
    max_memory: Size = 0
    deadline: PositiveDuration = timedelta(seconds=60)
    retry: Retry = RetrySettings()
    grace: Duration = timedelta(seconds=30)
    boot_timeout: PositiveDuration = timedelta(seconds=60)
    control_directory: str | None = Field(default=None, min_length=1, max_length=80)
    """Where workers can be asked for their status; 80, for a socket's whole path has room for 107 bytes."""
    fastcgi: ForeignPoolSettings | None = None
    queues: Mapping[PlainName, QueueSettings] = Field(default_factory=lambda: {CATCH_ALL: QueueSettings()})


@dataclass(frozen=True, slots=True)
class Settings:
    """The values, and for each that was given, where it came from. `file` is the `bridge.toml` that was read."""

    values: Values
    origins: Mapping[str, str]
    file: Path | None

    def origin(self, key: str) -> str:
        """Return where the value came from, for people."""
        return self.origins.get(key, "default")

    def queues(self) -> tuple[Queue, ...]:
        """Return the queues of the site; without a `[queues]` table, the catch-all alone."""
        return tuple(
            Queue(
                name=name,
                patterns=queue.patterns,
                deadline=queue.deadline or self.values.deadline,
                retry=_retry(queue.retry or self.values.retry),
                slots=queue.slots,
            )
            for name, queue in self.values.queues.items()
        )


def load_settings(
    *,
    command_line: Mapping[str, Any] | None = None,
    flask_config: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    file: str | None = None,
) -> Settings:
    """Read, layer and check the settings. `file` (else `BRIDGE_CONFIG`, else `bridge.toml` in the working directory)
    is the table that people write; a file that is named must be there.

    Raise `SettingsError`, which names the key, the value, what was expected and where it came from.
    """
    environ = os.environ if environ is None else environ
    path = _file(file or environ.get(CONFIG))
    layers = [
        (f"{path}".replace("{", "{{").replace("}", "}}"), {} if path is None else _read(path)),
        ("environment variable {}", _of_environment(environ)),
        ("Flask's config", _of_flask(flask_config or {})),
        (COMMAND_LINE, {key: value for key, value in (command_line or {}).items() if value is not None}),
    ]
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for origin, layer in layers:
        values.update(_laid_over(values, layer))
        origins.update((key, origin.format(PREFIX + key.upper())) for key in layer)
    try:
        checked = Values.model_validate(values)
    except ValidationError as error:
        problems = [problem for problem in error.errors() if problem["loc"][-2:] != ("retry", "str")]
        raise SettingsError("\n".join(_sentence(problem, origins) for problem in problems)) from error
    base = path.parent if path is not None else Path.cwd()
    absolute = {"broker_url": _absolute(checked.broker_url, base), "spool": str(base / checked.spool)}
    resolved = checked.model_copy(update=absolute)
    return Settings(resolved, origins, path)


def _laid_over(values: Mapping[str, Any], layer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the layer as it goes over the weaker ones: whole values, but what the command line says of `[fastcgi]`
    leaves the rest of that table as it was."""
    weaker, stronger = values.get("fastcgi"), layer.get("fastcgi")
    if isinstance(weaker, Mapping) and isinstance(stronger, Mapping):
        return {**layer, "fastcgi": {**weaker, **stronger}}
    return layer


def _file(named: str | None) -> Path | None:
    path = Path(named or FILE_NAME).absolute()
    if path.is_file():
        return path
    if named is not None:
        found = f"{path} is a directory" if path.is_dir() else f"there is none at {path}"
        raise SettingsError(f"config {named!r}: expected a file, and {found}")
    return None


def _read(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise SettingsError(f"{path}: expected a TOML file: {error}") from error


def _of_environment(environ: Mapping[str, str]) -> Mapping[str, Any]:
    """Return the settings that the environment gives. A `BRIDGE_*` that is none of them is somebody else's."""
    named = {key: PREFIX + key.upper() for key in Values.model_fields}
    given = {key: environ[name] for key, name in named.items() if name in environ}
    for key in _IN_THE_FILE_ALONE:
        if key in given:
            raise SettingsError(
                f"{key} = {given[key]!r:.200} (from environment variable {named[key]}): expected it in bridge.toml: "
                "a table cannot be given by the environment"
            )
    return given


def _of_flask(config: Mapping[str, Any]) -> Mapping[str, Any]:
    given = {key.removeprefix(PREFIX).lower(): value for key, value in config.items() if key.startswith(PREFIX)}
    for key in given.keys() & (Values.model_fields.keys() - _OF_THE_APP):
        where = (
            "bridge.toml, which the app, the worker and the tools read alike"
            if key in _IN_THE_FILE_ALONE
            else f"bridge.toml, the environment ({PREFIX}{key.upper()}) or the command line, where the worker reads it"
        )
        raise SettingsError(f"{key} = {given[key]!r:.200} (from Flask's config): expected it in {where}")
    return given


def _absolute(url: str, base: Path) -> str:
    parts = urlsplit(url)
    return f"sqlite:///{base / unquote(parts.path.removeprefix('/'))}" if parts.scheme == "sqlite" else url


def _retry(retry: RetrySettings | str) -> RetryTable | str:
    return retry if isinstance(retry, str) else retry.table()


def _sentence(problem: Any, origins: Mapping[str, str]) -> str:
    """Return one line about one problem: key = value (origin): what was expected."""
    location = [str(part) for part in problem["loc"]]
    # pydantic names the branch of a union, and says "[key]" for the key of a table; neither is written by the user
    parts = [part for part in location if part not in ("RetrySettings", "[key]")]
    key = ".".join(parts)
    origin = origins.get(location[0], "default")
    value = problem["input"]
    if key in ("broker_url", "management_url") and isinstance(value, str):
        value = without_password(value)
    if problem["type"] == "extra_forbidden":
        wanted = f"no such setting; expected one of {', '.join(_model(parts).model_fields)}"
    else:
        wanted = expected(problem)
    return f"{key} = {value!r:.200} (from {origin}): {wanted}"


def _model(parts: list[str]) -> type[BaseModel]:
    """Return the table that the last part would be a key of."""
    if len(parts) == 1:
        return Values
    if parts[0] == "fastcgi":
        return ServerSettings if "addresses" in parts else ForeignPoolSettings
    return RetrySettings if "retry" in parts else QueueSettings
