"""A fuzz run against `bridge.fastcgi`: damaged replies, random records, noise and floods, in pieces of any size.

    python tests/fuzz/fuzz_fastcgi.py --inputs 1000000 --seed 1

It fails and prints the seed and the input in hex if an exception other than `ProtocolError` is raised, or if a
connection retains more than an unfinished record, a header block within its limit, and the last piece. pytest does not
run it.
"""

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator

from bridge.fastcgi import Connection, EndedEarly, Limits, ProtocolError, Refused, ReplyEnd

LARGEST_RECORD = 8 + 65_535 + 255
OWN_SIZE = 4096
"""Bytes that the connection's own objects may take."""
CHECKED = 0.1
"""The share of reads after which the retained bytes are counted. Counting takes longer than reading."""
LIMITS = (Limits(),) * 6 + (Limits(header=200, body=300, error_output=100), Limits(header=20, body=0, error_output=0))
HEADERS = (
    b"Status: 200 OK",
    b"Status: 404",
    b"Location: /login",
    b"Content-Type: text/plain",
    b"Bridge-Outcome: delivered",
    b"X: \xe9",
)


def record(type_: int, content: bytes, request_id: int, padding: int = 0, version: int = 1) -> bytes:
    header = bytes([version, type_]) + request_id.to_bytes(2, "big") + len(content).to_bytes(2, "big")
    return header + bytes([padding, 0]) + content + bytes(padding)


def valid_reply(rng: random.Random, request_id: int) -> bytes:
    """Return a valid reply with random headers, body, error output, padding and end."""
    if rng.random() < 0.03:
        return record(3, bytes([0, 0, 0, 0, rng.randrange(1, 4), 0, 0, 0]), request_id)
    newline = rng.choice((b"\n", b"\r\n"))
    body = rng.randbytes(rng.choice((0, 2, 9, 40, 250)) if rng.random() < 0.99 else 70_000)
    headers = [b"Content-Length: %d" % len(body)] * rng.randrange(2) + rng.sample(HEADERS[2:], rng.randrange(1, 4))
    output = newline.join([*rng.sample(HEADERS[:2], rng.randrange(2)), *headers, b"", b""]) + body
    size = rng.choice((7, 60, 65_535, 65_535)) if len(output) < 1000 else 65_535
    records = []
    for at in range(0, len(output), size):
        records.append(record(6, output[at : at + size], request_id, rng.choice((0, 0, 3, 255))))
        if rng.random() < 0.1:
            records.append(record(7, rng.randbytes(rng.randrange(30)), request_id))
        if rng.random() < 0.02:
            records.append(record(rng.choice((10, 11)), bytes(8), 0))
    if rng.random() < 0.7:
        records.append(record(6, b"", request_id))
    return b"".join(records) + record(3, rng.randbytes(4) + bytes(4), request_id, rng.choice((0, 0, 5)))


def flip_bits(rng: random.Random, data: bytearray) -> None:
    for _ in range(rng.randrange(1, 4)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def truncate(rng: random.Random, data: bytearray) -> None:
    del data[rng.randrange(1, len(data) + 1) :]


def splice(rng: random.Random, data: bytearray) -> None:
    start, stop = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    at = rng.randrange(len(data) + 1)
    data[at:at] = data[start : min(stop, start + 4096)]


def cut_out(rng: random.Random, data: bytearray) -> None:
    start = rng.randrange(len(data))
    del data[start : start + rng.randrange(1, 20)]


def tamper_with_a_header(rng: random.Random, data: bytearray) -> None:
    """Change one field of one record's header: version, type, id, length or padding."""
    starts, at = [], 0
    while at + 8 <= len(data):
        starts.append(at)
        at += 8 + int.from_bytes(data[at + 4 : at + 6], "big") + data[at + 6]
    if starts:
        field = rng.randrange(7)
        value = rng.choice((0, 1, 2, 3, 6, 7, 8, 10, 11, 127, 128, 255, rng.randrange(256)))
        data[rng.choice(starts) + field] = value


def insert_text(rng: random.Random, data: bytearray) -> None:
    """Insert text that is difficult for a header parser somewhere into the first bytes."""
    at = rng.randrange(min(len(data), 120) + 1)
    text = rng.choice((b"\r", b"\n", b"\0", b"\n ", b":", b"\r\n\r\n", *HEADERS))
    data[at : at + len(text) * rng.randrange(2)] = text


MUTATIONS = (flip_bits, truncate, splice, cut_out, tamper_with_a_header, tamper_with_a_header, insert_text)


def damaged(rng: random.Random) -> bytes:
    data = bytearray(b"".join(valid_reply(rng, 1 + number) for number in range(rng.choice((1, 1, 2)))))
    for _ in range(rng.choice((1, 1, 1, 3))):
        if data:
            rng.choice(MUTATIONS)(rng, data)
    return bytes(data)


def records(rng: random.Random) -> bytes:
    """Return random records in random order, most of them with types and ids that a reply may have."""
    return b"".join(
        record(
            rng.choice((3, 6, 6, 7, 10, 11, rng.randrange(256))),
            rng.choice((b"", bytes(8), b"A: b\n\n", b"A: b", b"\n\n", rng.randbytes(rng.randrange(20)))),
            rng.choice((1, 1, 1, 1, 0, 2, rng.randrange(65_536))),
            rng.choice((0, 0, rng.randrange(256))),
            1 if rng.random() < 0.98 else rng.randrange(256),
        )
        for _ in range(rng.randrange(1, 12))
    )


def noise(rng: random.Random) -> bytes:
    data = rng.randbytes(rng.choice((1, 8, 30, 200)))
    return bytes([1, rng.choice((3, 6, 7)), 0, 1]) + data if rng.random() < 0.5 else data


def flood(rng: random.Random) -> bytes:
    """Return some 400 KB of repeated records, of which the connection must not retain the contents."""
    unit = record(rng.choice((6, 6, 7, 10)), rng.choice((b"A: b\n", rng.randbytes(rng.randrange(1, 3000)))), 1)
    unit = unit if unit[1] != 10 else record(10, unit[8:], 0)
    head = record(6, b"A: b\n\n", 1) if rng.random() < 0.5 else b""
    return head + unit * (400_000 // len(unit))


MAKERS: dict[str, Callable[[random.Random], bytes]] = {
    "damaged": damaged,
    "records": records,
    "noise": noise,
    "flood": flood,
}
WEIGHTS = (60, 25, 14.8, 0.2)


def pieces(rng: random.Random, data: bytes) -> list[bytes]:
    """Return `data` in at most some 500 pieces: whole, of one size, or of random sizes."""
    least = 1 + len(data) // 500
    most = rng.choice((len(data) or 1, least, max(least, 8), max(least, 64), max(least, 200)))
    at, found = 0, []
    while at < len(data):
        size = most if most != 200 else rng.randrange(least, most)
        found.append(data[at : at + size])
        at += size
    return found


def parts(thing: object) -> Iterator[object]:
    """Yield all bytes and strings that `thing` holds, at any depth."""
    if isinstance(thing, (bytes, bytearray, str)):
        yield thing
    elif isinstance(thing, (list, tuple, set)):
        for part in thing:
            yield from parts(part)
    elif isinstance(thing, dict):
        yield from parts(list(thing.items()))
    elif type(thing).__module__.startswith("bridge."):
        names = getattr(type(thing), "__slots__", None) or vars(thing)
        for name in names:
            yield from parts(getattr(thing, name))


def retained(connection: Connection) -> int:
    """Return the number of bytes that the connection retains."""
    return sum(map(sys.getsizeof, parts(connection)))


def begin(rng: random.Random, connection: Connection) -> None:
    connection.begin_request({"CONTENT_LENGTH": "3"}, keep_connection=rng.random() < 0.8)
    connection.body(b"abc")
    if rng.random() < 0.9:
        connection.end_of_body()


def exchange(rng: random.Random, limits: Limits, data: list[bytes]) -> str:
    """Feed one connection with `data` and the end of the stream; return how it ended.

    Raise `MemoryError` if it retains too much, and any exception of the connection except `ProtocolError`.
    """
    connection = Connection(limits)
    begin(rng, connection)
    ended = "nothing"
    try:
        for piece in data:
            replies = connection.receive(piece)
            if rng.random() < CHECKED and retained(connection) > OWN_SIZE + LARGEST_RECORD + limits.header + len(piece):
                raise MemoryError(f"{retained(connection)} bytes retained")
            if replies and isinstance(replies[-1], ReplyEnd | Refused):
                ended = "reply" if isinstance(replies[-1], ReplyEnd) else "refusal"
            if connection.reusable:
                begin(rng, connection)
        connection.receive(b"")
    except EndedEarly:
        return f"{ended}, then early end"
    except ProtocolError:
        return f"{ended}, then violation"
    return f"{ended}, then end"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1_000_000, help="number of inputs (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the random numbers (default: %(default)s)")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    counts: Counter[tuple[str, str]] = Counter()
    size, started = 0, time.perf_counter()
    for number in range(arguments.inputs):
        (kind,) = rng.choices(list(MAKERS), WEIGHTS)
        data = pieces(rng, MAKERS[kind](rng))
        size += sum(map(len, data))
        limits = rng.choice(LIMITS)
        try:
            counts[kind, exchange(rng, limits, data)] += 1
        except Exception as error:  # any exception is a finding
            print(f"seed {arguments.seed}, input {number} ({kind}, {limits}): {type(error).__name__}: {error}")
            print("pieces in hex:", *(piece.hex() for piece in data))
            return 1
    elapsed = time.perf_counter() - started
    print(f"{arguments.inputs:,} inputs, {size:,} bytes, seed {arguments.seed}, {elapsed:.0f} s: no finding")
    for kind in MAKERS:
        print(f"{kind}: {sum(count for key, count in counts.items() if key[0] == kind):,}")
        for (of, ended), count in sorted(counts.items()):
            if of == kind:
                print(f"    {count:>10,}  {ended}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
