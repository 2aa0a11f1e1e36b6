"""An event that `defer()` publishes as a job of Sidekiq: `to="sidekiq:default", job_class="HardWorker"`."""

import json
import re
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from secrets import token_hex

from app_adapter.deferral import Deferral
from app_adapter.outgoing import Outgoing
from bridge.config.redis_url import RedisServer
from bridge.config.sidekiq_settings import MAX_WORD, SidekiqSettings, queue_name
from bridge.config.store_settings import StoreSettings, sidekiq_queues
from bridge.errors import DeferError, InvalidPayload, shown
from bridge.event import Event

_TO = "sidekiq:"
_CLASS = re.compile(r"[^\W\d_]\w*(::[^\W\d_]\w*)*")
_TRAVELS = frozenset(("name", "payload", "delay", "at", "to", "job_class"))

Stores = Mapping[str, StoreSettings | SidekiqSettings]


def check_travels(deferral: Deferral) -> None:
    """Raise `DeferError` for an argument that a job of Sidekiq cannot have, for a `job_class` that is no name of a
    class, and for one without `to`."""
    if deferral.to is None:
        if deferral.job_class is not None:
            raise DeferError(f"job_class={shown(deferral.job_class)}: expected to='sidekiq:QUEUE' with it")
        return
    for each in fields(deferral):
        given = getattr(deferral, each.name)
        if each.name not in _TRAVELS and given != each.default:
            raise DeferError(f"{each.name}={shown(given)}: a job of Sidekiq has none; expected it without `to`")
    kind = deferral.job_class
    if not isinstance(kind, str) or len(kind) > MAX_WORD or not _CLASS.fullmatch(kind):
        raise DeferError(f"job_class={shown(kind)}: expected the name of a Ruby class, such as 'HardWorker'")


def arguments_of(payload: object) -> list[object]:
    """Return the arguments of `perform`: the items of a list or tuple, none for None, and else the payload alone. Raise
    `InvalidPayload` for bytes."""
    if isinstance(payload, bytes | bytearray | memoryview):
        raise InvalidPayload("payload=bytes: a job of Sidekiq has JSON arguments; encode it, for instance as base64")
    if payload is None:
        return []
    return list(payload) if isinstance(payload, list | tuple) else [payload]


def as_job(event: Event, due: datetime | None, deferral: Deferral, stores: Stores) -> Outgoing:
    """Return the job of an event whose data are the arguments, as Sidekiq's client writes it. Its id is the job's.
    Raise `DeferError` for a `to` that names no queue of a Redis server in `[stores]`."""
    server, queue = _destination(deferral.to, stores)
    jid = token_hex(12)
    begin = f'{{"retry":true,"queue":{json.dumps(queue)},"args":'
    end = f',"class":{json.dumps(deferral.job_class)},"jid":"{jid}","created_at":{event.time.timestamp()}}}'
    job = begin.encode() + event.data + end.encode()
    return Outgoing(event._replace(id=jid, data=job, traceparent=None), due, sidekiq=server)


def _destination(to: object, stores: Stores) -> tuple[RedisServer, str]:
    if not isinstance(to, str) or not to.startswith(_TO):
        raise DeferError(f"to={shown(to)}: expected 'sidekiq:QUEUE', such as 'sidekiq:default'")
    servers = {name: queue.server for name, queue in sidekiq_queues(stores).items()}
    if not servers:
        raise DeferError(f"to={shown(to)}: expected a table in [stores] of bridge.toml with url = 'redis://…'")
    named, slash, queue = to.removeprefix(_TO).partition("/")
    if not slash:
        named, queue = next(iter(servers)), named
        if len(set(servers.values())) > 1:
            raise DeferError(f"to={shown(to)}: expected 'sidekiq:STORE/QUEUE' with one of {', '.join(servers)}")
    if named not in servers:
        raise DeferError(f"to={shown(to)}: expected one of {', '.join(servers)} before the /")
    try:
        return servers[named], queue_name(queue)
    except ValueError as error:
        raise DeferError(f"to={shown(to)}: {error}") from None
