"""The processes of a site, by its settings. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from bridge.config.settings import Settings
from bridge.config.sqlite_url import is_sqlite
from bridge.config.store_settings import outboxes, relayed_queues
from bridge.config.values import WorkerGroupSettings
from bridge.errors import SettingsError


class Stage(IntEnum):
    """The order in which a site ends: first nothing new comes in, then the events finish, then the spool is relayed."""

    POOL = 0
    WORKERS = 1
    RELAY = 2


@dataclass(frozen=True, slots=True)
class Member:
    """A process of the site: its name, its program with arguments, and the times in seconds that it has to become ready
    and to finish what runs. A member that `reloads` boots new code at SIGHUP."""

    name: str
    program: str
    arguments: tuple[str, ...]
    stage: Stage
    boot: float
    grace: float
    reloads: bool = True

    @property
    def command(self) -> tuple[str, ...]:
        """The command line."""
        return (self.program, *self.arguments)


def members_of(settings: Settings, app: str | None, further: Sequence[str] = ()) -> tuple[Member, ...]:
    """Return the processes: the pool if `[pool]` says where it listens, a worker for each group of `[workers]` or one
    for all queues, and the relay if the app spools or has an outbox. `app` is the app of the command line or of
    FLASK_APP, for those that `bridge.toml` gives none. `further` are options for all of them. Raise `SettingsError` if
    a process has no app."""
    values = settings.values
    boot, grace = values.boot_timeout.total_seconds(), values.grace.total_seconds()
    config = ("--config", str(settings.file)) if settings.file is not None else ()
    found: list[Member] = []
    if values.pool is not None:
        options = [*("--bind", values.pool.bind), *_given("--socket-mode", values.pool.socket_mode)]
        options += _given("--socket-group", values.pool.socket_group)
        options += [word for network in values.pool.allow for word in ("--allow", network)]
        words = (_app("pool", values.pool.app or app), *options, *config, *further)
        found.append(Member("pool", "bridge-pool", words, Stage.POOL, boot, grace))
    for name, group in values.workers.items() or (("", WorkerGroupSettings()),):
        named, chosen = (f"worker-{name}", ("--group", name)) if name else ("worker", ())
        is_foreign = app is None and values.fastcgi is not None and values.fastcgi.addresses
        own = () if group.app or is_foreign else (_app(named, app),)
        to_finish = group.grace.total_seconds() if group.grace is not None else grace
        words = (*own, *chosen, *config, *further)
        found.append(Member(named, "bridge-worker", words, Stage.WORKERS, boot, to_finish))
    stores = outboxes(values.stores) or relayed_queues(values.stores)
    if stores or (values.publish == "spool" and not is_sqlite(values.broker_url)):
        found.append(Member("relay", "bridge-relay", (*config, *further), Stage.RELAY, boot, grace, reloads=False))
    return tuple(found)


def _app(name: str, app: str | None) -> str:
    if app is None:
        raise SettingsError(f"the {name} has no app: expected APP, such as shop:app, or FLASK_APP in the environment")
    return app


def _given(option: str, value: str | None) -> list[str]:
    return [option, value] if value is not None else []
