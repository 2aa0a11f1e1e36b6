"""Settings: read in layers, checked once, frozen, and passed in. There is no global.

The layers, the strongest first: command line, Flask's `BRIDGE_*` config, the environment's `BRIDGE_*`, `bridge.toml`.
Pydantic checks the values; the layering is ours, because a message about a bad value must say where it came from.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from bridge.errors import SettingsError
from bridge.foreign_pool import ForeignPoolSettings, ServerSettings
from bridge.queues import CATCH_ALL, Queue
from bridge.retry_table import DEFAULT, RetryTable
from bridge.topics import check_pattern

FILE_NAME = "bridge.toml"
PREFIX = "BRIDGE_"
CONFIG = "BRIDGE_CONFIG"
COMMAND_LINE = "command line"

_DURATION_UNITS = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_SIZE_UNITS = {"": 1, "B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_NAME = re.compile(r"[A-Za-z0-9_-]+")


def duration(value: object) -> timedelta:
    """Return the time that `30`, `"30"`, `"30s"`, `"500ms"`, `"5m"`, `"2h"` or `"4d"` names; a number is seconds."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", str(value))
    if isinstance(value, timedelta):
        return value
    if isinstance(value, bool) or match is None or (match[2] or "s") not in _DURATION_UNITS:
        raise ValueError("expected a time such as 30, '30s', '500ms', '5m', '2h' or '4d'")
    try:
        return timedelta(seconds=float(match[1]) * _DURATION_UNITS[match[2] or "s"])
    except OverflowError:
        raise ValueError("expected a time that fits a calendar") from None


def _size(value: object) -> int:
    match = re.fullmatch(r"\s*(\d+)\s*([A-Za-z]*)\s*", str(value))
    if isinstance(value, bool) or match is None or match[2] not in _SIZE_UNITS:
        raise ValueError("expected a size such as 1048576, '64KiB' or '1MiB'")
    return int(match[1]) * _SIZE_UNITS[match[2]]


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("expected a time above 0")
    return value


def _plain_name(value: str) -> str:
    if not _NAME.fullmatch(value) or len(value) > 60:
        raise ValueError("expected a name of A-Z a-z 0-9 _ -, at most 60 characters")
    return value


def _path(value: str) -> str:
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", value):
        raise ValueError("expected a path such as '/_bridge', without a slash at the end")
    return value


def _policy(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", value):
        raise ValueError("expected a table such as {attempts = 20, initial = '2s'}, or 'module:object'")
    return value


Duration = Annotated[timedelta, BeforeValidator(duration)]
PositiveDuration = Annotated[timedelta, BeforeValidator(duration), AfterValidator(_positive)]
Size = Annotated[int, BeforeValidator(_size)]
PlainName = Annotated[str, AfterValidator(_plain_name)]
Pattern = Annotated[str, AfterValidator(check_pattern)]


class _Checked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class RetrySettings(_Checked):
    """`retry = {…}` of a queue, or of all queues."""

    attempts: int = Field(default=DEFAULT.attempts, ge=1)
    initial: PositiveDuration = DEFAULT.initial
    base: float = Field(default=DEFAULT.base, ge=1)
    max: PositiveDuration = DEFAULT.max
    jitter: float = Field(default=DEFAULT.jitter, ge=0, le=1)

    def table(self) -> RetryTable:
        """Return it as the policy reads it."""
        return RetryTable(self.attempts, self.initial, self.base, self.max, self.jitter)


Retry = Annotated[RetrySettings | str, BeforeValidator(_policy)]


class QueueSettings(_Checked):
    """`[queues.<name>]`."""

    patterns: tuple[Pattern, ...] = ()
    deadline: PositiveDuration | None = None
    retry: Retry | None = None
    slots: int | None = Field(default=None, ge=1)


class Values(_Checked):
    """Every setting, with its default."""

    broker_url: str = "sqlite:///bridge.db"
    namespace: PlainName = "bridge"
    source: str | None = Field(default=None, min_length=1, max_length=200)
    release: str | None = Field(default=None, max_length=200)
    replay_path: Annotated[str, AfterValidator(_path)] = "/_bridge"
    publish_timeout: PositiveDuration = timedelta(seconds=2)
    max_body: Size = 1024**2
    children: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    spare: int = Field(default=1, ge=0)
    """Children that are warm and take nothing until another is lost. One covers any single loss; each costs memory."""
    preload: bool = False
    max_requests: int = Field(default=0, ge=0)
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
    resolved = checked.model_copy(update={"broker_url": _absolute(checked.broker_url, base)})
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
        raise SettingsError(f"config {named!r}: expected a file, and there is none at {path}")
    return None


def _read(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise SettingsError(f"{path}: expected a TOML file: {error}") from error


def _of_environment(environ: Mapping[str, str]) -> Mapping[str, Any]:
    """Return the settings that the environment gives. A `BRIDGE_*` that is none of them is somebody else's."""
    known = set(Values.model_fields) - {"queues", "retry", "fastcgi"}
    return {key: environ[PREFIX + key.upper()] for key in known if PREFIX + key.upper() in environ}


def _of_flask(config: Mapping[str, Any]) -> Mapping[str, Any]:
    return {key.removeprefix(PREFIX).lower(): value for key, value in config.items() if key.startswith(PREFIX)}


def _absolute(url: str, base: Path) -> str:
    parts = urlsplit(url)
    if parts.scheme != "sqlite":
        return url
    path = unquote(parts.path.removeprefix("/"))
    if parts.netloc or not path or path == ":memory:":
        raise SettingsError(f"broker_url {url!r}: expected sqlite:///path/to/file.db, three slashes, a file")
    return f"sqlite:///{base / path}"


def _retry(retry: RetrySettings | str) -> RetryTable | str:
    return retry if isinstance(retry, str) else retry.table()


def _sentence(problem: Any, origins: Mapping[str, str]) -> str:
    """Return one line about one problem: key = value (origin): what was expected."""
    location = [str(part) for part in problem["loc"]]
    # pydantic names the branch of a union, and says "[key]" for the key of a table; neither is written by the user
    parts = [part for part in location if part not in ("RetrySettings", "[key]")]
    key = ".".join(parts)
    origin = origins.get(location[0], "default")
    if problem["type"] == "extra_forbidden":
        expected = f"no such setting; expected one of {', '.join(_model(parts).model_fields)}"
    else:
        said = str(problem["msg"]).removeprefix("Value error, ")
        expected = said.replace("Input should be", "expected").replace("Extra inputs are", "expected none, extra are")
    if "expected" not in expected:
        expected = f"expected otherwise: {expected}"
    return f"{key} = {problem['input']!r:.200} (from {origin}): {expected}"


def _model(parts: list[str]) -> type[BaseModel]:
    """Return the table that the last part would be a key of."""
    if len(parts) == 1:
        return Values
    if parts[0] == "fastcgi":
        return ServerSettings if "addresses" in parts else ForeignPoolSettings
    return RetrySettings if "retry" in parts else QueueSettings
