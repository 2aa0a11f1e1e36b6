"""The jobs that relays have taken out of Sidekiq's queue and not published yet: a hash in the same Redis.

A job is moved from its place into the hash by one script, so it is always in one of them. Each job has a lease. A
relay renews the leases of its jobs; when a relay was killed, they run out, and another one takes its jobs over.

| key | type | what |
|---|---|---|
| `NAMESPACE:sidekiq:QUEUE:held` | hash | number → place, score and job, each on a line |
| `NAMESPACE:sidekiq:QUEUE:leases` | sorted set | number, until when a relay has it by the clock of Redis |
| `NAMESPACE:sidekiq:QUEUE:number` | counter | the last number |
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

LEASE_SECONDS = 20.0
"""Longer than a turn of the relay, which renews them: 2 s to reach the broker, 10 s for its answer, and 5 s of
back-off."""

_NOW = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
"""

# A script that fails in the middle is not rolled back. So a job is written to the hash before it is removed from its
# place, and what would undo that is tried first: a user who may not do it fails before anything is changed. A script
# whose first write needs no memory (ZREM, HDEL) also runs to its end if Redis has none left.
_TAKE = f"""{_NOW}
redis.call('HDEL', KEYS[2], 0)
redis.call('ZREM', KEYS[3], 0)
redis.call('ZADD', KEYS[3], 'XX', 0, 0)
local is_set = redis.call('TYPE', KEYS[1])['ok'] == 'zset'
local taken = {{}}
for at = 2, #ARGV do
    local job, score, removed = ARGV[at], '', nil
    if is_set then
        score = redis.call('ZSCORE', KEYS[1], job) or ''
    end
    local number = redis.call('INCR', KEYS[4])
    redis.call('HSET', KEYS[2], number, KEYS[1] .. '\\n' .. score .. '\\n' .. job)
    redis.call('ZADD', KEYS[3], now + tonumber(ARGV[1]), number)
    if is_set then
        removed = redis.pcall('ZREM', KEYS[1], job)
    else
        removed = redis.pcall('LREM', KEYS[1], -1, job)
    end
    if removed == 1 then
        taken[#taken + 1] = {{number, score, job}}
    else
        redis.call('HDEL', KEYS[2], number)
        redis.call('ZREM', KEYS[3], number)
    end
    if type(removed) == 'table' then
        return removed
    end
end
return taken
"""

_RENEW = f"""{_NOW}
local till = now + tonumber(ARGV[1])
redis.call('ZREM', KEYS[2], 0)
for at = 3, #ARGV do
    redis.call('ZADD', KEYS[2], 'XX', till, ARGV[at])
end
local left = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, ARGV[2])
for _, number in ipairs(left) do
    redis.call('ZADD', KEYS[2], 'XX', till, number)
end
return left
"""

_REMOVE = """
redis.call('HDEL', KEYS[1], unpack(ARGV))
redis.call('ZREM', KEYS[2], unpack(ARGV))
"""

_PUT_BACK = """
redis.call('HDEL', KEYS[1], 0)
for at = #ARGV, 1, -1 do
    local value = redis.call('HGET', KEYS[1], ARGV[at])
    if value then
        local place, score, job = string.match(value, '^([^\\n]*)\\n([^\\n]*)\\n(.*)$')
        if score == '' then
            redis.call('RPUSH', place, job)
        else
            redis.call('ZADD', place, score, job)
        end
        redis.call('HDEL', KEYS[1], ARGV[at])
    end
    redis.call('ZREM', KEYS[2], ARGV[at])
end
"""


@dataclass(frozen=True, slots=True)
class HeldJob:
    """A job that a relay holds: its number, and its time in the set that it was in; None if it was in the queue."""

    number: int
    score: float | None
    text: bytes


class HeldJobs:
    """The held jobs of one queue. Each method takes the client of Redis, and raises what that raises."""

    def __init__(self, namespace: str, queue: str) -> None:
        begin = f"{namespace}:sidekiq:{queue}"
        self._held, self._leases, self._number = f"{begin}:held", f"{begin}:leases", f"{begin}:number"

    async def take(self, client: Any, place: str, jobs: Sequence[bytes]) -> list[HeldJob]:
        """Move these jobs out of the place, and return those that were still there, in order."""
        keys = [place, self._held, self._leases, self._number]
        taken = await client.register_script(_TAKE)(keys, [LEASE_SECONDS, *jobs])
        return [HeldJob(number, _score(score), job) for number, score, job in taken]

    async def renew(self, client: Any, numbers: Iterable[int], most: int) -> list[int]:
        """Renew the leases of these jobs. Return the numbers of at most `most` whose lease has run out, and which are
        the caller's now."""
        left = await client.register_script(_RENEW)([self._held, self._leases], [LEASE_SECONDS, most, *numbers])
        return [int(number) for number in left]

    async def get(self, client: Any, numbers: Sequence[int]) -> list[HeldJob]:
        """Return those of these jobs that are still held."""
        values = await client.hmget(self._held, numbers)
        found = []
        for number, value in zip(numbers, values, strict=True):
            if value is not None:
                _, score, job = value.split(b"\n", 2)
                found.append(HeldJob(number, _score(score), job))
        return found

    async def remove(self, client: Any, numbers: Sequence[int]) -> None:
        """Delete these jobs for good."""
        await client.register_script(_REMOVE)([self._held, self._leases], numbers)

    async def put_back(self, client: Any, numbers: Sequence[int]) -> None:
        """Move these jobs back to their places. The one with the lowest number is the queue's next one."""
        await client.register_script(_PUT_BACK)([self._held, self._leases], numbers)

    async def count(self, client: Any) -> tuple[int, int]:
        """Return how many jobs relays hold, and how many of these have no relay any more."""
        seconds, _ = await client.time()
        pipeline = client.pipeline(transaction=True)
        pipeline.hlen(self._held)
        pipeline.zcount(self._leases, "-inf", seconds)
        held, abandoned = await pipeline.execute()
        return held, abandoned


def _score(text: bytes) -> float | None:
    return float(text) if text else None
